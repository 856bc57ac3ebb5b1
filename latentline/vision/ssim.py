"""Structural similarity of two images, pixel by pixel (Wang et al. 2004; as a map of defects: Bergmann et al. 2018)."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float32]

WINDOW = 11  # px
SIGMA = 1.5  # px, of the Gaussian in it
K1, K2 = 0.01, 0.03
C1, C2 = (K1 * 2) ** 2, (K2 * 2) ** 2  # at data range 2


def ssim_map(a: Float, b: Float) -> Float:
    """SSIM of every pixel of planes [..., H, W] in [-1, 1] (data range 2; edges mirrored), in [-1, 1]; 1 is equal."""
    # From the centre of the range, where the two moments that variance subtracts are small: float32 then suffices.
    values = [_ssim(p, q) for p, q in zip(a.reshape(-1, *a.shape[-2:]), b.reshape(-1, *b.shape[-2:]), strict=True)]
    return np.stack(values).reshape(a.shape)


def window() -> Float:
    """Weights of the window along one axis, [WINDOW]; they sum to 1."""
    return np.asarray(cv2.getGaussianKernel(WINDOW, SIGMA, cv2.CV_32F), np.float32).reshape(-1)


def _ssim(a: Float, b: Float) -> Float:
    """Of one pair of planes; (2 + …) is the shift of the means to [0, 2], on which the luminance term depends."""
    mean_a, mean_b = _mean(a), _mean(b)
    variance_a, variance_b = _mean(a * a) - mean_a**2, _mean(b * b) - mean_b**2
    covariance = _mean(a * b) - mean_a * mean_b
    light_a, light_b = mean_a + 1, mean_b + 1
    luminance = (2 * light_a * light_b + C1) / (light_a**2 + light_b**2 + C1)
    structure = (2 * covariance + C2) / (variance_a + variance_b + C2)
    return np.asarray(luminance * structure, np.float32)


def _mean(plane: Float) -> Float:
    blurred = cv2.GaussianBlur(plane, (WINDOW, WINDOW), SIGMA, borderType=cv2.BORDER_REFLECT)
    return np.asarray(blurred, np.float32)
