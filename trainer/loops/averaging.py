"""The running average of a network's weights, which a training ends with (Karras et al. 2018, appendix A)."""

from __future__ import annotations

import torch
from torch import nn

_HALF_LIFE = 2000.0  # images; every model of docs/results was trained with it


def update_average(average: nn.Module, network: nn.Module, batch: int, images: int) -> None:
    """Move the weights of `average` towards those of `network` after a batch; `images` were shown so far."""
    # the half-life is short at first: otherwise the average would show the first random weights for long
    half_life = min(_HALF_LIFE, max(images, batch) / 4)
    keep = 0.5 ** (batch / half_life)
    with torch.no_grad():
        torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), 1 - keep)
