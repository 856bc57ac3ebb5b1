"""The encoder's loss on a frozen generator: izi_f of f-AnoGAN (Schlegl et al. 2019, eq. 4)."""

from __future__ import annotations

from torch import Tensor


def izi_f_loss(x: Tensor, reconstruction: Tensor, fx: Tensor, features: Tensor, kappa: float = 1.0) -> Tensor:
    """Mean ‖x − G(E(x))‖² / n + κ·‖f(x) − f(G(E(x)))‖² / n_d over the batch.

    x, reconstruction [N, C, R, R]; fx, features [N, maps, 4, 4]; n and n_d are their sizes.
    """
    return (x - reconstruction).square().mean() + kappa * (fx - features).square().mean()
