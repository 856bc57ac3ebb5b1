"""Encoder: image -> latent from which the search starts (f-AnoGAN; Schlegl et al. 2019)."""

from __future__ import annotations

from itertools import pairwise
from typing import cast

from torch import Tensor, nn

from trainer.networks.layers import (
    EqualizedConv2d,
    EqualizedDownConv2d,
    EqualizedLinear,
    FromImage,
    feature_maps,
    leaky_relu,
    pixel_norm,
    stages,
)


class EncoderBlock(nn.Module):
    """3x3 convolution, then 4x4 convolution down x2, each followed by leaky ReLU.

    The discriminator's averages would lose where a fine pattern lies, which z has to tell.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = EqualizedConv2d(in_channels, in_channels, 3)
        self.down_conv = EqualizedDownConv2d(in_channels, out_channels)

    def forward(self, h: Tensor) -> Tensor:
        """[N, in, H, W] -> [N, out, H/2, W/2]."""
        return leaky_relu(self.down_conv(leaky_relu(self.conv(h))))


class Encoder(nn.Module):
    """A trunk of the discriminator's shape, with other down-sampling, then one linear layer.

    Image [N, C, R, R] -> z [N, latent_size] of unit mean square, as the generator normalises it.
    """

    def __init__(
        self, resolution: int, channels: int, latent_size: int, fmap_base: int, fmap_max: int, patch_size: int = 1
    ) -> None:
        super().__init__()
        growing = range(stages(resolution, patch_size))
        maps = [feature_maps(4 * 2**stage, fmap_base, fmap_max) for stage in reversed(growing)]
        self.from_image = FromImage(channels, maps[0], patch_size)
        self.blocks = nn.ModuleList(EncoderBlock(a, b) for a, b in pairwise(maps))
        self.out = EqualizedLinear(maps[-1] * 16, latent_size, gain=1.0)

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, R, R] -> [N, latent_size]."""
        h = leaky_relu(self.from_image(x))
        for block in self.blocks:
            h = cast("Tensor", block(h))
        return pixel_norm(self.out(h.flatten(1)))
