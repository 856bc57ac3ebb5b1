"""The reference search, Algorithm 1 of Kimura & Yanagihara (2018), with which every exported search is compared."""

from __future__ import annotations

import torch
from torch import Tensor

from trainer.networks.discriminator import Discriminator
from trainer.networks.generator import Generator

ADAM_BETAS = (0.9, 0.999)
ADAM_EPSILON = 1e-8


def search_loss(
    generator: Generator,
    discriminator: Discriminator,
    z: Tensor,
    x: Tensor,
    fx: Tensor,
    gamma: float,
    lam: float,
) -> Tensor:
    """L'(z) of each image, [N]: γ·[(1−λ)·Σ|x−G(z)| + λ·Σ|f(x)−f(G(z))|] + (1−γ)·Σ|1−D(G(z))|, sums as in the paper.

    z [N, L], x [N, C, R, R] in [-1, 1], fx = f(x) [N, maps, 4, 4]; γ in (0, 1], λ in [0, 1].
    """
    reconstruction = generator(z)
    logit, features = discriminator(reconstruction)
    residual = (x - reconstruction).abs().flatten(1).sum(1)
    feature_residual = (fx - features).abs().flatten(1).sum(1)
    adversarial = (1 - torch.sigmoid(logit)).abs()
    loss: Tensor = gamma * ((1 - lam) * residual + lam * feature_residual) + (1 - gamma) * adversarial
    return loss


def loss_and_gradient(
    generator: Generator,
    discriminator: Discriminator,
    z: Tensor,
    x: Tensor,
    fx: Tensor,
    gamma: float,
    lam: float,
) -> tuple[Tensor, Tensor]:
    """L' [N] and ∂L'/∂z [N, L] by autograd: the oracle for the exported search step; arguments as `search_loss`."""
    z = z.detach().requires_grad_(True)
    loss = search_loss(generator, discriminator, z, x, fx, gamma, lam)
    (gradient,) = torch.autograd.grad(loss.sum(), z)
    return loss.detach(), gradient


def reference_search(
    generator: Generator,
    discriminator: Discriminator,
    x: Tensor,
    z: Tensor,
    iterations: int,
    learning_rate: float,
    gamma: float,
    lam: float,
) -> Tensor:
    """ẑ [N, L] after `iterations` steps of Adam from `z` [N, L], for each image x [N, C, R, R] in [-1, 1] by itself.

    The networks must come from `freeze`.
    """
    with torch.no_grad():
        fx = discriminator(x)[1]
    m, v = torch.zeros_like(z), torch.zeros_like(z)
    beta1, beta2 = ADAM_BETAS
    for t in range(1, iterations + 1):
        _, gradient = loss_and_gradient(generator, discriminator, z, x, fx, gamma, lam)
        m = beta1 * m + (1 - beta1) * gradient
        v = beta2 * v + (1 - beta2) * gradient.square()
        z = z - learning_rate * (m / (1 - beta1**t)) / ((v / (1 - beta2**t)).sqrt() + ADAM_EPSILON)
    return z.detach()
