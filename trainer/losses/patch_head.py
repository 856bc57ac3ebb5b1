"""The loss of the discriminator's patch head: the known-abnormal term of Noisy-AnoGAN, patch by patch.

    L = E_normal[−log D_p] + E_abnormal[−log(1 − D_p)],   D_p = σ(logit of patch p)

Both are means over patches of their kind, so that a small defect counts as much as a large one's surroundings.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def patch_head_loss(logits: Tensor, abnormal: Tensor, known: Tensor) -> Tensor:
    """The loss above, a scalar; a kind that no patch shows adds nothing.

    logits    [N, h, w], larger is more normal
    abnormal  [N, 1, H, W] bool, pixels that belong to a defect; H, W are multiples of h, w
    known     [N] bool, False where nobody has said which pixels are abnormal: such a tile is left out
    """
    shrink = abnormal.shape[-1] // logits.shape[-1]
    patches = F.max_pool2d(abnormal.to(logits.dtype), shrink).squeeze(1) > 0
    told = known.view(-1, 1, 1).expand_as(patches)
    return _mean(F.softplus(-logits), told & ~patches) + _mean(F.softplus(logits), told & patches)


def _mean(values: Tensor, where: Tensor) -> Tensor:
    # a sum over a mask, not an index: no synchronisation with a GPU
    weight = where.to(values.dtype)
    return (values * weight).sum() / weight.sum().clamp(min=torch.ones((), dtype=values.dtype, device=values.device))
