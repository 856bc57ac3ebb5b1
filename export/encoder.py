"""The folded encoder: image -> latent from which the search starts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from torch import Tensor, nn

from export.layers import (
    Convolution,
    Dense,
    DownConvolution,
    FromImageConvolution,
    FrozenMap,
    activate,
    normalise,
)
from trainer.networks.encoder import Encoder, EncoderBlock


class FoldedEncoder(nn.Module):
    """`Encoder` with its scales in the weights."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        layers: list[FrozenMap] = [FromImageConvolution(encoder.from_image)]
        for block in cast("Iterable[EncoderBlock]", encoder.blocks):
            layers += [Convolution.folded(block.conv), DownConvolution(block.down_conv)]
        self.layers = nn.ModuleList(layers)
        self.out = Dense(encoder.out)

    def forward(self, x: Tensor) -> Tensor:
        """x [N, C, R, R] in [-1, 1] -> z [N, L] of unit mean square."""
        h = x
        for layer in self.layers:
            h = activate(layer(h))
        return normalise(self.out(h.flatten(1)))[0]
