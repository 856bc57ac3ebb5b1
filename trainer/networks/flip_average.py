"""D's logits averaged over an image and its mirror images: all are normal or none is, and the mean errs less."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations

import torch
from torch import Tensor

from trainer.data.settings import Flip

Network = Callable[[Tensor], Sequence[Tensor]]  # image -> logit [N], features, and patch logits [N, r, r] if any
AXIS: dict[Flip, int] = {"vertical": -2, "horizontal": -1}


def average_over_flips(network: Network, x: Tensor, flips: Sequence[Flip]) -> tuple[Tensor, ...]:
    """The outputs of `network` for x [N, C, R, R], its logits averaged over x and its mirror images.

    Each combination of `flips` makes one mirror image. Features are those of x alone; patch logits are mirrored back.
    """
    logit, features, *patches = network(x)
    views = [axes for count in range(1, len(flips) + 1) for axes in combinations([AXIS[f] for f in flips], count)]
    for axes in views:
        mirrored_logit, _, *mirrored_patches = network(_mirror(x, axes))
        logit = logit + mirrored_logit
        patches = [total + _mirror(other, axes) for total, other in zip(patches, mirrored_patches, strict=True)]
    share = 1 / (1 + len(views))
    return logit * share, features, *(total * share for total in patches)


def _mirror(x: Tensor, axes: Sequence[int]) -> Tensor:
    """x mirrored by an index, which every ONNX runtime supports; not all support slices with a negative step."""
    for axis in axes:
        x = x.index_select(axis, torch.arange(x.shape[axis] - 1, -1, -1, device=x.device))
    return x
