"""The encoder's loss on a frozen generator: izi_f of f-AnoGAN (Schlegl et al. 2019, eq. 4)."""

from __future__ import annotations

from torch import Tensor


def izi_f_loss(x: Tensor, reconstruction: Tensor, features: tuple[Tensor, Tensor] | None, kappa: float = 1.0) -> Tensor:
    """Mean ‖x − G(E(x))‖² / n + κ·‖f(x) − f(G(E(x)))‖² / n_d over the batch.

    x, reconstruction [N, C, R, R]; features f(x) and f(G(E(x))) [N, maps, 4, 4], None: that term is left out; n and n_d
    are the numbers of values in an image and in its features.
    """
    loss = (x - reconstruction).square().mean()
    return loss if features is None else loss + kappa * (features[0] - features[1]).square().mean()
