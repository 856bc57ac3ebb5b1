"""Weights of version 0.1, whose generators and encoders had 3x3 kernels where they now have 4x4 ones."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from trainer.networks.layers import down_kernel, up_kernel


def has_older_kernels(tensors: Mapping[str, Tensor]) -> bool:
    """Whether a checkpoint's tensors hold 3x3 kernels of a generator's or an encoder's up- or down-sampling."""
    return any(_is_up(name, value) or _is_down(name, value) for name, value in tensors.items())


def with_free_kernels(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A checkpoint's tensors by name, with every such 3x3 kernel as the 4x4 kernel that computes the same.

    Up, nearest neighbours and a 3x3 convolution are one 4x4 transposed convolution; down, a 3x3 convolution and a 2x2
    average are one 4x4 convolution.
    """
    converted = dict(tensors)
    for name, value in tensors.items():
        if _is_up(name, value):
            converted[name] = up_kernel(value)
        elif _is_down(name, value):
            converted[name] = down_kernel(value)
    return converted


def _is_up(name: str, value: Tensor) -> bool:
    return name.endswith(".up_conv.weight") and value.shape[2:] == (3, 3)


def _is_down(name: str, value: Tensor) -> bool:
    return "encoder." in name and name.endswith(".down_conv.weight") and value.shape[2:] == (3, 3)
