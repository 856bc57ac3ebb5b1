"""Generator: latent z -> image."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from trainer.networks.layers import (
    HE_GAIN,
    EqualizedConv2d,
    EqualizedLinear,
    EqualizedUpConv2d,
    ToImage,
    feature_maps,
    leaky_relu,
    pixel_norm,
    stages,
    upsample,
)


class GeneratorBlock(nn.Module):
    """4x4 transposed convolution up x2, then a 3x3 convolution, each followed by leaky ReLU and pixel norm.

    Nearest up x2 and a 3x3 convolution are one such kernel too, but a low-pass one: it cannot place a fine pattern.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.up_conv = EqualizedUpConv2d(in_channels, out_channels)
        self.conv = EqualizedConv2d(out_channels, out_channels, 3)

    def forward(self, h: Tensor) -> Tensor:
        """[N, in, H, W] -> [N, out, 2H, 2W]."""
        h = pixel_norm(leaky_relu(self.up_conv(h)))
        return pixel_norm(leaky_relu(self.conv(h)))


class Generator(nn.Module):
    """Progressive generator. Stage s makes images of 4·2^s positions a side, each a patch of `patch_size` px a side.

    `alpha` fades stage s in over stage s - 1. Input z [N, latent_size] of any length: pixel norm projects it on the
    hypersphere. Output [N, channels, R, R], linear, trained to [-1, 1].
    """

    def __init__(
        self, resolution: int, channels: int, latent_size: int, fmap_base: int, fmap_max: int, patch_size: int = 1
    ) -> None:
        super().__init__()
        maps = [feature_maps(4 * 2**stage, fmap_base, fmap_max) for stage in range(stages(resolution, patch_size))]
        self.resolution, self.channels, self.latent_size = resolution, channels, latent_size
        self.dense = EqualizedLinear(latent_size, maps[0] * 16, gain=HE_GAIN / 4)
        self.conv = EqualizedConv2d(maps[0], maps[0], 3)
        self.blocks = nn.ModuleList(GeneratorBlock(a, b) for a, b in pairwise(maps))
        self.to_image = nn.ModuleList(ToImage(m, channels, patch_size) for m in maps)

    @property
    def last_stage(self) -> int:
        """Index of the stage of full resolution."""
        return len(self.blocks)

    def forward(self, z: Tensor, stage: int | None = None, alpha: float = 1.0) -> Tensor:
        """Image of `stage` (None: full resolution), blended with the stage before where alpha < 1."""
        stage = self.last_stage if stage is None else stage
        h = self.dense(pixel_norm(z)).view(z.shape[0], -1, 4, 4)  # [N, maps, 4, 4]
        h = pixel_norm(leaky_relu(self.conv(pixel_norm(leaky_relu(h)))))
        before = h
        for block in self.blocks[:stage]:
            before, h = h, block(h)
        image: Tensor = self.to_image[stage](h)
        if alpha < 1 and stage > 0:
            image = torch.lerp(upsample(self.to_image[stage - 1](before)), image, alpha)
        return image
