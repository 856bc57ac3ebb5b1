"""The ℓ2 loss of an autoencoder (Bergmann et al. 2018, eq. 1)."""

from __future__ import annotations

from torch import Tensor

from trainer.losses.reconstruction import Reconstruction
from trainer.methods import Autoencoder


def l2_loss(x: Tensor, reconstruction: Tensor) -> Tensor:
    """Mean of (x − x̂)² over all values, where the paper takes the sum; x, reconstruction of one shape."""
    return (x - reconstruction).square().mean()


def l2_terms(x: Tensor, reconstruction: Reconstruction, method: Autoencoder) -> dict[str, Tensor]:
    """The loss, a scalar, as the one term of the training."""
    return {"reconstruction": l2_loss(x, reconstruction.image)}
