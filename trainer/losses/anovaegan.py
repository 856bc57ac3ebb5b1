"""AnoVAEGAN (Baur et al. 2018): a VAE with ℓ1 loss and an adversary that must take its reconstructions for real.

    min_VAE  1/n · (Σ|x − x̂| + kl_weight·KL(q(z|x) ‖ N(0, 1)))  +  adversarial·(−log D(x̂)),   n values in a tile

The division by n keeps the ratio of both terms of the bound; beside their undivided sum the adversary's term would be
negligible.
"""

from __future__ import annotations

from torch import Tensor

from trainer.losses.adversarial import generator_loss
from trainer.losses.elbo import kl
from trainer.losses.reconstruction import Reconstruction
from trainer.methods import AnoVaeGan


def l1_loss(x: Tensor, reconstruction: Tensor) -> Tensor:
    """Mean of |x − x̂| over all values; x, reconstruction of one shape."""
    return (x - reconstruction).abs().mean()


def anovaegan_terms(x: Tensor, reconstruction: Reconstruction, method: AnoVaeGan) -> dict[str, Tensor]:
    """The terms, scalars, whose sum is the loss of encoder and decoder."""
    mean, log_variance, logit = reconstruction.z_mean, reconstruction.z_log_variance, reconstruction.logit
    assert mean is not None and log_variance is not None and logit is not None
    return {
        "reconstruction": l1_loss(x, reconstruction.image),
        "kl": method.kl_weight / reconstruction.values * kl(mean, log_variance).mean(),
        "adversarial": method.adversarial_weight * generator_loss(logit, gamma=1.0),
    }
