"""The searched lower bound of a variational autoencoder (Kingma & Welling 2014; An & Cho 2015).

    −ELBO = E_q(z|x)[−log p(x|z)] + kl_weight·KL(q(z|x) ‖ N(0, 1)),   p(x|z) = N(μ(z), σ²(z)) of each value

with one z a tile for the expectation. The training divides the bound of a tile, a sum over values and
latents, by the number of values, so that losses of all resolutions compare; their ratio stays.
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


def elbo_terms(x: Tensor, seen: Reconstruction, method: Vae) -> dict[str, Tensor]:
    """−ELBO as the training adds it up: nats a value, mean over the batch."""
    assert seen.log_variance is not None and seen.mean is not None and seen.spread is not None
    return {
        "reconstruction": negative_log_likelihood(x, seen.image, seen.log_variance).mean(),
        "kl": method.kl_weight / seen.values * kl(seen.mean, seen.spread).mean(),
    }
