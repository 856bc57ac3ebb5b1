"""Batch normalisation over the global batch of several processes.

torch's SyncBatchNorm needs a GPU; this one only needs an all-reduce, so that it can be tested on a CPU.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from trainer.networks.layers import at_least_float32


class SharedBatchNorm2d(nn.BatchNorm2d):
    """BatchNorm2d that trains with the statistics of the global batch; all processes have the same number of rows."""

    def forward(self, x: Tensor) -> Tensor:
        """[N, maps, H, W] -> the same shape, for the N rows of this process."""
        if not self.training:
            return super().forward(x)
        wide, count = at_least_float32(x), x.numel() // x.shape[1] * dist.get_world_size()
        sums = torch.stack([wide.sum((0, 2, 3)), wide.square().sum((0, 2, 3))])
        mean, square = _Sum.apply(sums) / count  # type: ignore[no-untyped-call]
        variance = (square - mean.square()).clamp(min=0)
        self._record(mean.detach(), variance.detach() * count / (count - 1))
        scale = self.weight * torch.rsqrt(variance + self.eps)
        shift = self.bias - mean * scale
        normalised: Tensor = wide * scale[:, None, None] + shift[:, None, None]
        return normalised.to(x.dtype)

    def _record(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None and self.running_var is not None and self.momentum is not None
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance, self.momentum)
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)


def share_norms(network: nn.Module) -> None:
    """Turn each BatchNorm2d of `network` into a shared one, in place; weights and statistics stay."""
    for module in network.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = SharedBatchNorm2d


class _Sum(torch.autograd.Function):
    """Sum over the processes; the backward pass sums their gradients and gives the sum to each."""

    @staticmethod
    def forward(context: Any, tensor: Tensor) -> Tensor:
        return _summed(tensor)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        return _summed(gradient)


def _summed(tensor: Tensor) -> Tensor:
    total = tensor.clone(memory_format=torch.contiguous_format)
    dist.all_reduce(total)
    return total
