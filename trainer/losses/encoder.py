"""The encoder's loss: izi_f of f-AnoGAN (Schlegl et al. 2019, eq. 4), with l2 or SSIM between the pixels."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from trainer.losses.ssim import ssim_loss


def izi_f_loss(
    x: Tensor,
    reconstruction: Tensor,
    features: tuple[Tensor, Tensor] | None,
    kappa: float = 1.0,
    pixels: Literal["l2", "ssim"] = "l2",
) -> Tensor:
    """Mean ‖x − G(E(x))‖² / n + κ·‖f(x) − f(G(E(x)))‖² / n_d over the batch; for pixels `ssim` 1 − SSIM comes first.

    x, reconstruction [N, C, R, R]; features f(x) and f(G(E(x))) [N, maps, 4, 4], None: that term is left out; n and n_d
    are the numbers of values in an image and in its features. SSIM needs R of at least 11.
    """
    loss = ssim_loss(x, reconstruction) if pixels == "ssim" else (x - reconstruction).square().mean()
    return loss if features is None else loss + kappa * (features[0] - features[1]).square().mean()
