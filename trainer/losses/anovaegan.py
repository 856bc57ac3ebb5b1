"""AnoVAEGAN (Baur et al. 2018): a VAE with ℓ1 loss whose reconstructions an adversary must take for real.

    min_VAE  Σ|x − x̂| + kl_weight·KL(q(z|x) ‖ N(0, 1)), over the number of values of a tile  +  adversarial·(−log D(x̂))

Sum and kl keep the ratio of the bound. The adversary is weighed against the mean error of a value: against
the sum it would drown.
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


def anovaegan_terms(x: Tensor, seen: Reconstruction, method: AnoVaeGan) -> dict[str, Tensor]:
    """The loss of encoder and decoder as the training adds it up."""
    assert seen.mean is not None and seen.spread is not None and seen.logit is not None
    return {
        "reconstruction": l1_loss(x, seen.image),
        "kl": method.kl_weight / seen.values * kl(seen.mean, seen.spread).mean(),
        "adversarial": method.adversarial * generator_loss(seen.logit, gamma=1.0),
    }
