"""The structural similarity (SSIM) of two images (Wang et al. 2004) and the loss made of it (Bergmann et al. 2018).

Gaussian window of 11 px and σ = 1.5 px, K1 = 0.01, K2 = 0.03, data range 2. Images in [-1, 1] are first
shifted to [0, 2]: SSIM compares brightness as a ratio, which means nothing around 0.
"""

from __future__ import annotations

import torch
from torch import Tensor

from trainer.losses.reconstruction import Reconstruction
from trainer.methods import Autoencoder

WINDOW = 11
SIGMA = 1.5
DATA_RANGE = 2.0
C1, C2 = (0.01 * DATA_RANGE) ** 2, (0.03 * DATA_RANGE) ** 2


def ssim_map(x: Tensor, y: Tensor) -> Tensor:
    """SSIM in [-1, 1] of each window that lies wholly inside the image, for each channel separately.

    x, y [N, C, H, W] in [-1, 1], H and W at least 11 -> [N, C, H − 10, W − 10].
    """
    x, y = x + 1, y + 1
    means = _blur(torch.stack([x, y, x.square() + y.square(), x * y]))
    mean_x, mean_y, squares, product = means.unbind()
    mean_product = mean_x * mean_y
    mean_squares = mean_x.square() + mean_y.square()
    luminance = (2 * mean_product + C1) / (mean_squares + C1)
    return luminance * (2 * (product - mean_product) + C2) / (squares - mean_squares + C2)


def ssim_loss(x: Tensor, reconstruction: Tensor) -> Tensor:
    """1 − mean SSIM, in [0, 2]; shapes as in `ssim_map`."""
    return 1 - ssim_map(x, reconstruction).mean()


def ssim_terms(x: Tensor, reconstruction: Reconstruction, method: Autoencoder) -> dict[str, Tensor]:
    """The loss, a scalar, as the one term of the training."""
    return {"reconstruction": ssim_loss(x, reconstruction.image)}


def _blur(planes: Tensor) -> Tensor:
    # products with two banded matrices are twice as fast on a CPU as convolutions of single maps
    columns = _band(planes.shape[-1], planes)
    return _band(planes.shape[-2], planes) @ planes @ columns.T


def _band(size: int, like: Tensor) -> Tensor:
    """[size − 10, size]: row i holds the window's weights from column i on."""
    offset = torch.arange(WINDOW, dtype=like.dtype, device=like.device) - WINDOW // 2
    window = torch.softmax(-offset.square() / (2 * SIGMA**2), dim=0)
    band = like.new_zeros(size - WINDOW + 1, size + 1)
    band[:, :WINDOW] = window
    # reading rows of size + 1 values as rows of size shifts each row one column further to the right
    return band.flatten()[: (size - WINDOW + 1) * size].view(-1, size)
