"""Building blocks of the progressive GAN: equalised learning rate, pixel norm, leaky ReLU 0.2, fade-in."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LEAKY_SLOPE = 0.2
PIXEL_NORM_EPSILON = 1e-8
HE_GAIN = math.sqrt(2)


class EqualizedConv2d(nn.Module):
    """Square stride-1 convolution, weights N(0, 1) scaled at run time by He's constant (Karras 2018, §4.1)."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, gain: float = HE_GAIN) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.scale = gain / math.sqrt(in_channels * kernel * kernel)
        self.padding = kernel // 2

    def scaled_weight(self) -> Tensor:
        """Weights as they act, [out, in, k, k]."""
        return self.weight * self.scale

    def linear_part(self, x: Tensor) -> Tensor:
        """Convolution without the bias."""
        return F.conv2d(x, self.scaled_weight(), padding=self.padding)

    def forward(self, x: Tensor) -> Tensor:
        """[N, in, H, W] -> [N, out, H, W]."""
        return F.conv2d(x, self.scaled_weight(), self.bias, padding=self.padding)


class EqualizedLinear(nn.Module):
    """Fully connected layer with equalised learning rate."""

    def __init__(self, in_features: int, out_features: int, gain: float = HE_GAIN) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_features, in_features))
        self.bias = nn.Parameter(torch.zeros(out_features))
        self.scale = gain / math.sqrt(in_features)

    def scaled_weight(self) -> Tensor:
        """Weights as they act, [out, in]."""
        return self.weight * self.scale

    def forward(self, x: Tensor) -> Tensor:
        """[N, in] -> [N, out]."""
        return F.linear(x, self.scaled_weight(), self.bias)


def leaky_relu(x: Tensor) -> Tensor:
    """Leaky ReLU with slope 0.2, everywhere in both networks."""
    return F.leaky_relu(x, LEAKY_SLOPE)


def pixel_norm(x: Tensor) -> Tensor:
    """Divide each position's channel vector (dim 1) by its root mean square (Karras 2018, §4.2)."""
    wide = at_least_float32(x)
    return x * torch.rsqrt(wide.square().mean(dim=1, keepdim=True) + PIXEL_NORM_EPSILON).to(x.dtype)


def at_least_float32(x: Tensor) -> Tensor:
    """Widen what mixed precision has narrowed: squares and their sums need the range."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def upsample(x: Tensor) -> Tensor:
    """Nearest neighbour, twice the size."""
    return F.interpolate(x, scale_factor=2, mode="nearest")


def downsample(x: Tensor) -> Tensor:
    """2 x 2 average, half the size."""
    return F.avg_pool2d(x, 2)


def feature_maps(resolution: int, base: int, maximum: int) -> int:
    """Channels of a layer at `resolution` px: min(2·base / resolution, maximum)."""
    return max(1, min(2 * base // resolution, maximum))
