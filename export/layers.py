"""Linear maps and activations of the networks; those of a search have a hand-written backward pass to the input.

There is no backward pass to the weights. Each map holds its weights once, scaled (equalised learning rate); operations
on constants derive other layouts, and an inference runtime folds them when it loads the graph. Where forward and
backward pass need the same kernel, they derive it in different orders, so that it stays two constants: OpenVINO
2026.4.1 silently computes wrong gradients when one square constant feeds a Conv and a ConvTranspose.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainer.networks.layers import (
    LEAKY_SLOPE,
    PIXEL_NORM_EPSILON,
    SPREAD,
    EqualizedConv2d,
    EqualizedDownConv2d,
    EqualizedLinear,
    EqualizedUpConv2d,
    FromImage,
    ToImage,
    leaky_relu,
)


class FrozenMap(nn.Module):
    """Frozen weights and bias of a linear map."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.detach().clone(), requires_grad=False)
        self.bias = nn.Parameter(bias.detach().clone(), requires_grad=False)


class LinearMap(FrozenMap, ABC):
    """A linear map with its backward pass to the input."""

    @abstractmethod
    def backward(self, grad: Tensor) -> Tensor:
        """∂/∂output -> ∂/∂input."""


class LinearMaps(nn.ModuleList):
    """Linear maps in the order of the forward pass."""

    def __iter__(self) -> Iterator[LinearMap]:
        return cast("Iterator[LinearMap]", super().__iter__())

    def backwards(self) -> list[LinearMap]:
        """The maps in the order of the backward pass."""
        return list(self)[::-1]


class Convolution(LinearMap):
    """Stride-1 convolution that keeps the size: 3x3, or 1x1 at the image. `bias` is [out] or a map [1, out, H, W]."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__(weight, bias)
        self.padding = weight.shape[2] // 2

    @classmethod
    def folded(cls, layer: EqualizedConv2d) -> Convolution:
        """The layer with its scale in the weights."""
        return cls(layer.scaled_weight(), layer.bias)

    def forward(self, h: Tensor) -> Tensor:
        """[N, in, H, W] -> [N, out, H, W]."""
        if self.bias.dim() == 1:
            return F.conv2d(h, self.weight, self.bias, padding=self.padding)
        return F.conv2d(h, self.weight, padding=self.padding) + self.bias

    def backward(self, grad: Tensor) -> Tensor:
        """[N, out, H, W] -> [N, in, H, W]: convolution with the kernel rotated by 180° and transposed."""
        kernel = self.weight.transpose(0, 1)
        if self.padding:
            kernel = kernel.flip([2, 3])
        return F.conv2d(grad, kernel, padding=self.padding)


class FromImageConvolution(LinearMap):
    """Patches of an image -> maps: a convolution with stride = kernel size; 1x1 where a patch is one pixel.

    Forward and backward pass may share the constant here: with more maps than channels it is not square.
    """

    def __init__(self, layer: FromImage) -> None:
        super().__init__(layer.scaled_weight(), layer.bias)
        self.patch_size = layer.patch_size

    def forward(self, h: Tensor) -> Tensor:
        """[N, C, R, R] -> [N, maps, R/patch_size, R/patch_size]."""
        return F.conv2d(h, self.weight, self.bias, stride=self.patch_size)

    def backward(self, grad: Tensor) -> Tensor:
        """[N, maps, R/patch_size, R/patch_size] -> [N, C, R, R]."""
        if self.patch_size == 1:
            return F.conv2d(grad, self.weight.transpose(0, 1))
        return F.conv_transpose2d(grad, self.weight, stride=self.patch_size)


class ToImageConvolution(LinearMap):
    """Maps -> patches of the image; the counterpart of `FromImageConvolution`."""

    def __init__(self, layer: ToImage) -> None:
        super().__init__(layer.scaled_weight(), layer.bias)
        self.patch_size = layer.patch_size

    def forward(self, h: Tensor) -> Tensor:
        """[N, maps, R/patch_size, R/patch_size] -> [N, C, R, R]."""
        if self.patch_size == 1:
            return F.conv2d(h, self.weight, self.bias)
        return F.conv_transpose2d(h, self.weight.transpose(0, 1), self.bias, stride=self.patch_size)

    def backward(self, grad: Tensor) -> Tensor:
        """[N, C, R, R] -> [N, maps, R/patch_size, R/patch_size]."""
        return F.conv2d(grad, self.weight.transpose(0, 1), stride=self.patch_size)


class UpConvolution(LinearMap):
    """4x4 stride-2 transposed convolution: each input value reaches a 4x4 square of the output."""

    def __init__(self, layer: EqualizedUpConv2d) -> None:
        super().__init__(layer.scaled_weight(), layer.bias)

    def forward(self, h: Tensor) -> Tensor:
        """[N, in, H, W] -> [N, out, 2H, 2W]."""
        return F.conv_transpose2d(h, self.weight.transpose(0, 1), self.bias, stride=2, padding=1)

    def backward(self, grad: Tensor) -> Tensor:
        """[N, out, 2H, 2W] -> [N, in, H, W]: stride-2 convolution with the same kernel, derived in another order."""
        kernel = self.weight.flatten(2).transpose(0, 1)
        kernel = kernel.reshape(*kernel.shape[:2], 4, 4)
        return F.conv2d(grad, kernel, stride=2, padding=1)


class DownConvolution(FrozenMap):
    """4x4 stride-2 convolution of the encoder, which no search follows backwards."""

    def __init__(self, layer: EqualizedDownConv2d) -> None:
        super().__init__(layer.scaled_weight(), layer.bias)

    def forward(self, h: Tensor) -> Tensor:
        """[N, in, H, W] -> [N, out, H/2, W/2]."""
        return F.conv2d(h, self.weight, self.bias, stride=2, padding=1)


class AveragedConvolution(LinearMap):
    """The discriminator's 3x3 convolution, then 2x2 average, as one 4x4 stride-2 convolution.

    The kernel is (S/2)·w·(S/2)ᵀ with S = `SPREAD`.
    """

    spread: Tensor

    def __init__(self, layer: EqualizedConv2d) -> None:
        super().__init__(layer.scaled_weight(), layer.bias)
        self.spread = nn.Buffer(_matrix(SPREAD, self.weight) / 2)

    def forward(self, h: Tensor) -> Tensor:
        """[N, in, H, W] -> [N, out, H/2, W/2]."""
        kernel = self.spread @ self.weight @ self.spread.T  # [out, in, 4, 4]
        return F.conv2d(h, kernel, self.bias, stride=2, padding=1)

    def backward(self, grad: Tensor) -> Tensor:
        """[N, out, H/2, W/2] -> [N, in, H, W]: transposed, the same kernel in another order."""
        kernel = (self.spread @ self.weight.transpose(0, 1) @ self.spread.T).transpose(0, 1)
        return F.conv_transpose2d(grad, kernel, stride=2, padding=1)


class Dense(LinearMap):
    """Fully connected layer with its scale in the weights."""

    def __init__(self, layer: EqualizedLinear) -> None:
        super().__init__(layer.scaled_weight(), layer.bias)

    def forward(self, h: Tensor) -> Tensor:
        """[N, in] -> [N, out]."""
        return F.linear(h, self.weight, self.bias)

    def backward(self, grad: Tensor) -> Tensor:
        """[N, out] -> [N, in]."""
        return grad @ self.weight


def normalise(h: Tensor) -> tuple[Tensor, Tensor]:
    """Pixel norm: h·s and the scale s = (mean over channels of h² + ε)^(-1/2), [N, 1, ...]."""
    scale = torch.rsqrt((h * h).mean(dim=1, keepdim=True) + PIXEL_NORM_EPSILON)
    return h * scale, scale


def normalise_backward(grad: Tensor, output: Tensor, scale: Tensor) -> Tensor:
    """Backward pass of `normalise` from its outputs y and s: s·(g − y·mean(g·y))."""
    return scale * (grad - output * (grad * output).mean(dim=1, keepdim=True))


def activate(h: Tensor) -> Tensor:
    """Leaky ReLU, the activation of the networks."""
    return leaky_relu(h)


def activate_backward(grad: Tensor, output: Tensor) -> Tensor:
    """Backward pass of leaky ReLU from its output, which has the sign of the input, even after pixel norm."""
    return torch.where(output > 0, grad, grad * LEAKY_SLOPE)


def _matrix(rows: tuple[tuple[float, ...], ...], like: Tensor) -> Tensor:
    return torch.tensor(rows, dtype=like.dtype, device=like.device)
