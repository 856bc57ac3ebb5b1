"""Encoder: image -> latent from which the search starts (f-AnoGAN; Schlegl et al. 2019)."""

from __future__ import annotations

from itertools import pairwise
from typing import cast

from torch import Tensor, nn

from trainer.networks.discriminator import DiscriminatorBlock
from trainer.networks.layers import EqualizedLinear, FromImage, feature_maps, leaky_relu, pixel_norm, stages


class Encoder(nn.Module):
    """The discriminator's trunk without minibatch standard deviation, then one linear layer.

    Image [N, C, R, R] -> z [N, latent_size] of unit mean square, as the generator normalises it.
    """

    def __init__(
        self, resolution: int, channels: int, latent_size: int, fmap_base: int, fmap_max: int, patch_size: int = 1
    ) -> None:
        super().__init__()
        growing = range(stages(resolution, patch_size))
        maps = [feature_maps(4 * 2**stage, fmap_base, fmap_max) for stage in reversed(growing)]
        self.from_image = FromImage(channels, maps[0], patch_size)
        self.blocks = nn.ModuleList(DiscriminatorBlock(a, b) for a, b in pairwise(maps))
        self.out = EqualizedLinear(maps[-1] * 16, latent_size, gain=1.0)

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, R, R] -> [N, latent_size]."""
        h = leaky_relu(self.from_image(x))
        for block in self.blocks:
            h = cast("Tensor", block(h))
        return pixel_norm(self.out(h.flatten(1)))
