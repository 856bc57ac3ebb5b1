"""Discriminator: image -> logit of D(x) and features f(x); with a patch head, also a logit for each patch."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainer.networks.layers import (
    EqualizedConv2d,
    EqualizedLinear,
    FromImage,
    at_least_float32,
    downsample,
    feature_maps,
    leaky_relu,
    stages,
)

STDDEV_GROUP = 4
PATCH_HEAD_BLOCKS = 2  # blocks of the trunk before the patch head: it has a logit for each 4 x 4 positions
STDDEV_MOMENTUM = 0.01


class DiscriminatorBlock(nn.Module):
    """3x3 convolution, then 3x3 convolution with 2x2 average.

    The average comes before bias and leaky ReLU: convolution and average are exactly one 4x4 stride-2 convolution.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = EqualizedConv2d(in_channels, in_channels, 3)
        self.down_conv = EqualizedConv2d(in_channels, out_channels, 3)

    def forward(self, h: Tensor) -> Tensor:
        """[N, in, H, W] -> [N, out, H/2, W/2]."""
        return leaky_relu(self.down_conv.averaged(leaky_relu(self.conv(h))))


class PatchHead(nn.Module):
    """Trunk features [N, maps, h, w] -> a logit for each patch [N, h, w]; larger is more normal."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.conv = EqualizedConv2d(maps, maps, 3)
        self.out = EqualizedConv2d(maps, 1, 1, gain=1.0)

    def forward(self, h: Tensor) -> Tensor:
        """[N, maps, h, w] -> [N, h, w]."""
        logits: Tensor = self.out(leaky_relu(self.conv(h)))
        return logits.squeeze(1)


class Discriminator(nn.Module):
    """Progressive discriminator; mirrors the generator stage by stage.

    Minibatch standard deviation (Karras 2018, §3) couples the images of a batch, but in a search they must be
    independent. So training records the mean of its value on real images (`record_stddev`), and in eval mode that mean
    is a constant channel.

    patch_size  px a side of the patch that the outermost layer takes as one position: 1, 2 or 4
    patch_head  add a patch head with patches of 4·patch_size px; the last stage then needs 16 positions a side
    """

    stddev_mean: Tensor

    def __init__(
        self,
        resolution: int,
        channels: int,
        fmap_base: int,
        fmap_max: int,
        patch_size: int = 1,
        patch_head: bool = False,
    ) -> None:
        super().__init__()
        maps = [feature_maps(4 * 2**stage, fmap_base, fmap_max) for stage in range(stages(resolution, patch_size))]
        self.resolution, self.channels, self.patch_size = resolution, channels, patch_size
        self.from_image = nn.ModuleList(FromImage(channels, m, patch_size) for m in maps)
        self.blocks = nn.ModuleList(DiscriminatorBlock(b, a) for a, b in pairwise(maps))
        self.conv = EqualizedConv2d(maps[0] + 1, maps[0], 3)
        self.dense = EqualizedLinear(maps[0] * 16, maps[0])
        self.out = EqualizedLinear(maps[0], 1, gain=1.0)
        self.patch_head = PatchHead(maps[self.last_stage - PATCH_HEAD_BLOCKS]) if patch_head else None
        self.register_buffer("stddev_mean", torch.tensor(0.5))

    @property
    def last_stage(self) -> int:
        """Index of the stage of full resolution."""
        return len(self.blocks)

    def forward(
        self, x: Tensor, stage: int | None = None, alpha: float = 1.0, record_stddev: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Image [N, C, R, R] -> logit [N] and features f(x) [N, maps, 4, 4], the last convolution's activations."""
        logit, features, _ = self.outputs(x, stage, alpha, record_stddev)
        return logit, features

    def outputs(
        self,
        x: Tensor,
        stage: int | None = None,
        alpha: float = 1.0,
        record_stddev: bool = False,
        patch_head: bool = False,
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """As `forward`; with `patch_head` also the patch head's logits [N, r, r], r = R / (4·patch_size)."""
        stage = self.last_stage if stage is None else stage
        branch = stage - PATCH_HEAD_BLOCKS if patch_head else -1
        features, patches = self._convolutions(x, stage, alpha, record_stddev, branch)
        logit = self.out(leaky_relu(self.dense(features.flatten(1)))).squeeze(1)
        return logit, features, patches

    def _convolutions(
        self, x: Tensor, stage: int, alpha: float, record_stddev: bool, branch: int
    ) -> tuple[Tensor, Tensor | None]:
        """f(x), and the logits of the patch head where it branches off before block `branch` - 1."""
        h, patches = leaky_relu(self.from_image[stage](x)), None
        for index in reversed(range(stage + 1)):
            if index < stage:
                h = self.blocks[index](h)
            if index == stage - 1 and alpha < 1:
                h = torch.lerp(leaky_relu(self.from_image[stage - 1](downsample(x))), h, alpha)
            if index == branch and self.patch_head is not None:
                patches = self.patch_head(h)
        return leaky_relu(self.conv(torch.cat([h, self._stddev_channel(h, record_stddev)], dim=1))), patches

    def look(self, frame: Tensor) -> tuple[Tensor, ...]:
        """A first look at a whole frame [N, C, H, W], sides of at least R and in quarters of R, by the last stage.

        Returns the logit [N, 4·H/R − 3, 4·W/R − 3] of each window of R x R px, a quarter of R apart, and with a patch
        head its logits [N, H/(4·patch_size), W/(4·patch_size)]. The dense layer is a convolution of 4 x 4 positions, so
        a frame of R x R px has the logits of `all_outputs`; in a larger one no window has edges.
        """
        features, patches = self._convolutions(frame, self.last_stage, 1.0, False, self.last_stage - PATCH_HEAD_BLOCKS)
        kernel = self.dense.scaled_weight().view(-1, features.shape[1], 4, 4)
        hidden = leaky_relu(F.conv2d(features, kernel, self.dense.bias))
        logit = F.conv2d(hidden, self.out.scaled_weight()[:, :, None, None], self.out.bias).squeeze(1)
        return (logit,) if patches is None else (logit, patches)

    def all_outputs(self, x: Tensor) -> tuple[Tensor, ...]:
        """Logit, features and, where there is a patch head, its logits; all of the last stage."""
        logit, features, patches = self.outputs(x, patch_head=True)
        return (logit, features) if patches is None else (logit, features, patches)

    def _stddev_channel(self, h: Tensor, record: bool) -> Tensor:
        n, _, height, width = h.shape
        if not self.training:
            return self.stddev_mean.to(h).expand(n, 1, height, width)
        group = STDDEV_GROUP if n % STDDEV_GROUP == 0 else n
        grouped = at_least_float32(h).reshape(group, n // group, -1)
        stddev = (grouped.var(dim=0, unbiased=False) + 1e-8).sqrt().mean(dim=1)  # [N / group]
        if record:
            with torch.no_grad():
                self.stddev_mean.lerp_(stddev.mean(), STDDEV_MOMENTUM)
        return stddev.repeat(group).to(h.dtype).view(n, 1, 1, 1).expand(n, 1, height, width)
