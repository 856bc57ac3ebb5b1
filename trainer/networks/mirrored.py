"""D's verdict on an image and its mirror images as one: all of them are normal or none is, and the mean errs less."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations

import torch
from torch import Tensor

from trainer.data.settings import Flip

Judge = Callable[[Tensor], Sequence[Tensor]]  # image -> logit [N], features; then patch logits [N, r, r], if any
AXIS: dict[Flip, int] = {"vertical": -2, "horizontal": -1}


def judge_mirrored(judge: Judge, x: Tensor, flips: Sequence[Flip]) -> tuple[Tensor, ...]:
    """As `judge` of x [N, C, R, R], but logits are means over x and all that `flips` make of it."""
    logit, features, *patches = judge(x)
    views = [axes for count in range(1, len(flips) + 1) for axes in combinations([AXIS[f] for f in flips], count)]
    for axes in views:
        also, _, *other = judge(_mirror(x, axes))
        logit = logit + also
        patches = [sum_of + _mirror(part, axes) for sum_of, part in zip(patches, other, strict=True)]
    share = 1 / (1 + len(views))
    return logit * share, features, *(total * share for total in patches)


def _mirror(x: Tensor, axes: Sequence[int]) -> Tensor:
    """By a list of positions, which every runtime of ONNX knows; not all know a slice that goes backwards."""
    for axis in axes:
        x = x.index_select(axis, torch.arange(x.shape[axis] - 1, -1, -1, device=x.device))
    return x
