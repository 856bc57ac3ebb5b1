"""The evidence lower bound (ELBO) of a variational autoencoder (Kingma & Welling 2014; An & Cho 2015).

    −ELBO = E_q(z|x)[−log p(x|z)] + kl_weight·KL(q(z|x) ‖ N(0, 1)),   p(x|z) = N(μ(z), σ²(z)) of each value

One sample of z for each tile estimates the expectation. The training divides the bound of a tile, a sum over values and
latents, by the number of values: the ratio of both terms stays, and losses at different resolutions compare.
"""

from __future__ import annotations

import math

from torch import Tensor

from trainer.losses.reconstruction import Reconstruction
from trainer.methods import Vae


def negative_log_likelihood(x: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """−log N(x; mean, exp(log_variance)) of each value, in nats; all of one shape."""
    return 0.5 * ((x - mean).square() * (-log_variance).exp() + log_variance + math.log(2 * math.pi))


def kl(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, exp(log_variance)) ‖ N(0, 1)) of each tile, [N], in nats; mean, log_variance [N, L]."""
    return 0.5 * (mean.square() + log_variance.exp() - log_variance - 1).sum(1)


def elbo_terms(x: Tensor, reconstruction: Reconstruction, method: Vae) -> dict[str, Tensor]:
    """The terms, scalars, whose sum is −ELBO: nats a value, averaged over the batch."""
    mean, z_log_variance, log_variance = (
        reconstruction.z_mean,
        reconstruction.z_log_variance,
        reconstruction.log_variance,
    )
    assert mean is not None and z_log_variance is not None and log_variance is not None
    return {
        "reconstruction": negative_log_likelihood(x, reconstruction.image, log_variance).mean(),
        "kl": method.kl_weight / reconstruction.values * kl(mean, z_log_variance).mean(),
    }
