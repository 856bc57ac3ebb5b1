"""The loss of the discriminator's patch head: the known-abnormal term of Noisy-AnoGAN, patch by patch.

    L = E_normal[−log D_p] + E_abnormal[−log(1 − D_p)],   D_p = σ(logit of patch p)

Each expectation is a mean over the patches of its kind, so that few abnormal patches count as much as many normal ones.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def patch_head_loss(logits: Tensor, abnormal: Tensor, known: Tensor) -> Tensor:
    """The loss above, a scalar; without patches of one kind its term is 0.

    logits    [N, h, w], larger is more normal
    abnormal  [N, 1, H, W] bool, the pixels of defects; H, W are multiples of h, w
    known     [N] bool, False for a tile whose abnormal pixels are not known: it is left out
    """
    shrink = abnormal.shape[-1] // logits.shape[-1]
    patches = F.max_pool2d(abnormal.to(logits.dtype), shrink).squeeze(1) > 0
    labelled = known.view(-1, 1, 1).expand_as(patches)
    return _mean(F.softplus(-logits), labelled & ~patches) + _mean(F.softplus(logits), labelled & patches)


def _mean(values: Tensor, where: Tensor) -> Tensor:
    # a weighted sum, not an index: the CPU need not wait for the GPU
    weight = where.to(values.dtype)
    return (values * weight).sum() / weight.sum().clamp(min=torch.ones((), dtype=values.dtype, device=values.device))
