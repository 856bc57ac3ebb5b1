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
    LinearMap,
    LinearMaps,
    activate,
    normalise,
)
from trainer.networks.discriminator import DiscriminatorBlock
from trainer.networks.encoder import Encoder


class FoldedEncoder(nn.Module):
    """`Encoder` with scales in the weights, and 3x3 convolution and average as one stride-2 convolution."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        layers: list[LinearMap] = [FromImageConvolution(encoder.from_image)]
        for block in cast("Iterable[DiscriminatorBlock]", encoder.blocks):
            layers += [Convolution.folded(block.conv), DownConvolution(block.down_conv)]
        self.layers = LinearMaps(layers)
        self.out = Dense(encoder.out)

    def forward(self, x: Tensor) -> Tensor:
        """x [N, C, R, R] in [-1, 1] -> z [N, L] of unit mean square."""
        h = x
        for layer in self.layers:
            h = activate(layer(h))
        return normalise(self.out(h.flatten(1)))[0]
