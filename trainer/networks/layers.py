"""Building blocks of the progressive GAN: layers with equalised learning rate, pixel norm, leaky ReLU, resampling."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LEAKY_SLOPE = 0.2
PIXEL_NORM_EPSILON = 1e-8
HE_GAIN = math.sqrt(2)
# Row i of SPREAD @ w is w[i] + w[i - 1]: the sum of two shifted copies of a 3-tap kernel, 4 taps long.
SPREAD = ((1.0, 0.0, 0.0), (1.0, 1.0, 0.0), (0.0, 1.0, 1.0), (0.0, 0.0, 1.0))


class EqualizedConv2d(nn.Module):
    """Square stride-1 convolution; weights N(0, 1) are scaled at run time by He's constant (Karras 2018, §4.1)."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, gain: float = HE_GAIN) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.scale = gain / math.sqrt(in_channels * kernel * kernel)
        self.padding = kernel // 2

    def scaled_weight(self) -> Tensor:
        """Weights as they act, [out, in, k, k]."""
        return self.weight * self.scale

    def forward(self, x: Tensor) -> Tensor:
        """[N, in, H, W] -> [N, out, H, W]."""
        return F.conv2d(x, self.scaled_weight(), self.bias, padding=self.padding)

    def averaged(self, x: Tensor) -> Tensor:
        """This 3x3 convolution, 2x2 average, then bias, as one 4x4 kernel: [N, in, H, W] -> [N, out, H/2, W/2]."""
        return F.conv2d(x, spread(self.scaled_weight()) / 4, self.bias, stride=2, padding=1)


class EqualizedUpConv2d(nn.Module):
    """4x4 stride-2 transposed convolution that doubles the size, equalised.

    Each output value is a sum over 2x2 of the taps, so He's constant counts four of the sixteen. A new layer is nearest
    up x2 and a random 3x3 convolution.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(up_kernel(torch.randn(out_channels, in_channels, 3, 3)))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.scale = HE_GAIN / math.sqrt(4 * in_channels)

    def scaled_weight(self) -> Tensor:
        """Weights as they act, [out, in, 4, 4]: an input value reaches the 4x4 outputs around it."""
        return self.weight * self.scale

    def forward(self, x: Tensor) -> Tensor:
        """[N, in, H, W] -> [N, out, 2H, 2W]."""
        return F.conv_transpose2d(x, self.scaled_weight().transpose(0, 1), self.bias, stride=2, padding=1)


class EqualizedDownConv2d(nn.Module):
    """4x4 stride-2 convolution that halves the size, equalised.

    A new layer is a random 3x3 convolution and a 2x2 average.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(down_kernel(torch.randn(out_channels, in_channels, 3, 3)))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.scale = HE_GAIN / math.sqrt(16 * in_channels)

    def scaled_weight(self) -> Tensor:
        """Weights as they act, [out, in, 4, 4]."""
        return self.weight * self.scale

    def forward(self, x: Tensor) -> Tensor:
        """[N, in, H, W] -> [N, out, H/2, W/2]."""
        return F.conv2d(x, self.scaled_weight(), self.bias, stride=2, padding=1)


class FromImage(nn.Module):
    """Square patches of an image -> feature maps, equalised; a 1x1 convolution where a patch is one pixel."""

    def __init__(self, channels: int, maps: int, patch_size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(maps, channels, patch_size, patch_size))
        self.bias = nn.Parameter(torch.zeros(maps))
        self.scale = HE_GAIN / math.sqrt(channels * patch_size * patch_size)
        self.patch_size = patch_size

    def scaled_weight(self) -> Tensor:
        """Weights as they act, [maps, channels, patch_size, patch_size]."""
        return self.weight * self.scale

    def forward(self, x: Tensor) -> Tensor:
        """[N, channels, H, W] -> [N, maps, H/patch_size, W/patch_size]."""
        return F.conv2d(x, self.scaled_weight(), self.bias, stride=self.patch_size)


class ToImage(nn.Module):
    """Feature maps -> a square patch of the image for each position, equalised; the counterpart of `FromImage`."""

    def __init__(self, maps: int, channels: int, patch_size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(channels, maps, patch_size, patch_size))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.scale = 1.0 / math.sqrt(maps)
        self.patch_size = patch_size

    def scaled_weight(self) -> Tensor:
        """Weights as they act, [channels, maps, patch_size, patch_size]."""
        return self.weight * self.scale

    def forward(self, h: Tensor) -> Tensor:
        """[N, maps, H, W] -> [N, channels, patch_size·H, patch_size·W]."""
        return F.conv_transpose2d(h, self.scaled_weight().transpose(0, 1), self.bias, stride=self.patch_size)


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
    """Leaky ReLU with slope 0.2, the activation of all networks."""
    return F.leaky_relu(x, LEAKY_SLOPE)


def pixel_norm(x: Tensor) -> Tensor:
    """Divide each position's channel vector (dim 1) by its root mean square (Karras 2018, §4.2)."""
    wide = at_least_float32(x)
    return x * torch.rsqrt(wide.square().mean(dim=1, keepdim=True) + PIXEL_NORM_EPSILON).to(x.dtype)


def at_least_float32(x: Tensor) -> Tensor:
    """x in float32, or wider if it is: squares and their sums need the range."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def upsample(x: Tensor) -> Tensor:
    """Twice the size by nearest neighbour: [N, maps, H, W] -> [N, maps, 2H, 2W]."""
    return F.interpolate(x, scale_factor=2, mode="nearest")


def downsample(x: Tensor) -> Tensor:
    """Half the size by 2x2 averages: [N, maps, H, W] -> [N, maps, H/2, W/2]."""
    return F.avg_pool2d(x, 2)


def spread(kernel: Tensor) -> Tensor:
    """S·w·Sᵀ with S = `SPREAD`, [..., 3, 3] -> [..., 4, 4]: the sum of four copies, shifted by 0 or 1 each way."""
    rows = torch.tensor(SPREAD, dtype=kernel.dtype, device=kernel.device)
    return rows @ kernel @ rows.T


def up_kernel(kernel: Tensor) -> Tensor:
    """Equalised weights [out, in, 3, 3] after nearest up x2 -> the same as weights of `EqualizedUpConv2d`.

    Two thirds is the quotient of the scales, √(4·in) / √(9·in).
    """
    return spread(kernel.flip(2, 3)) * (2 / 3)


def down_kernel(kernel: Tensor) -> Tensor:
    """Equalised weights [out, in, 3, 3] before a 2x2 average -> the same as weights of `EqualizedDownConv2d`.

    A third is a quarter of the quotient of the scales, √(16·in) / √(9·in).
    """
    return spread(kernel) / 3


def stages(resolution: int, patch_size: int) -> int:
    """Number of stages for images of `resolution` px: 4, 8 … resolution / patch_size positions a side."""
    return (resolution // patch_size).bit_length() - 2


def feature_maps(resolution: int, base: int, maximum: int) -> int:
    """Channels of a layer with `resolution` positions a side: min(2·base / resolution, maximum)."""
    return max(1, min(2 * base // resolution, maximum))
