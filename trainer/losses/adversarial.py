"""The Noisy-AnoGAN objective (Kimura & Yanagihara 2018, eq. 15–17), from logits.

    min_G max_D  γ·( E_x[log D(x)] + E_z[log(1 − D(G(z)))] ) + (1 − γ)·E_an[log(1 − D(x_an))],   D = σ(logit)

log D = −softplus(−logit) and log(1 − D) = −softplus(logit), so nothing overflows.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def discriminator_loss(real: Tensor, generated: Tensor, abnormal: Tensor | None, gamma: float) -> Tensor:
    """Negative of the objective that D maximises.

    Logits [N] of real, generated and known-abnormal images; γ in (0, 1].
    """
    loss = gamma * (F.softplus(-real).mean() + F.softplus(generated).mean())
    if abnormal is not None:
        loss = loss + (1 - gamma) * F.softplus(abnormal).mean()
    return loss


def discriminator_finetune_loss(real: Tensor, abnormal: Tensor, gamma: float) -> Tensor:
    """Negative of the objective without generated images, for fine-tuning the discriminator.

    Logits [N] of real and known-abnormal images; γ in (0, 1).
    """
    return gamma * F.softplus(-real).mean() + (1 - gamma) * F.softplus(abnormal).mean()


def generator_loss(generated: Tensor, gamma: float) -> Tensor:
    """−γ·E_z[log D(G(z))]: the non-saturating form (Goodfellow 2014, §3) of the generator's part of the objective.

    It has the fixed point of minimising γ·E_z[log(1 − D(G(z)))], but its gradient does not vanish while D wins.
    Logits [N] of generated images; the known-abnormal term does not depend on G.
    """
    return gamma * F.softplus(-generated).mean()


def r1_penalty(logit: Tensor, images: Tensor) -> Tensor:
    """½·E[‖∇x logit(x)‖²] on real images (Mescheder et al. 2018, eq. 9, unweighted); `images` must require grad."""
    (gradient,) = torch.autograd.grad(logit.sum(), images, create_graph=True)
    return gradient.square().flatten(1).sum(1).mean() / 2
