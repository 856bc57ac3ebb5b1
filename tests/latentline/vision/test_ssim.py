"""The SSIM map is that of scikit-image."""

import numpy as np
import pytest
from skimage.metrics import structural_similarity

from latentline.vision.ssim import ssim_map


@pytest.mark.parametrize("noise", [0.0, 0.02, 0.5])
def test_every_pixel_equals_scikit_image(noise: float) -> None:
    """The map equals scikit-image's in float64, at borders and where both images are nearly flat and equal."""
    rng = np.random.default_rng(0)
    ramp = np.linspace(-0.9, 0.9, 40)[:, None] * np.ones(33)
    a = np.stack([[ramp, ramp.T[:33].repeat(2, 0)[:40, :33]], rng.uniform(-1, 1, (2, 40, 33))])
    b = np.clip(a + noise * rng.normal(size=a.shape), -1, 1)
    found = ssim_map(a.astype(np.float32), b.astype(np.float32))
    assert found.shape == a.shape
    for index in np.ndindex(2, 2):
        expected = structural_similarity(
            a[index] + 1,  # data range [0, 2], like [0, 255] of a picture
            b[index] + 1,
            data_range=2,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            full=True,
        )[1]
        np.testing.assert_allclose(found[index], expected, atol=2e-4)


def test_ssim_is_one_only_where_images_are_equal() -> None:
    """SSIM is 1 where two images are equal, and less where they differ."""
    a = np.random.default_rng(1).uniform(-1, 1, (1, 32, 32)).astype(np.float32)
    b = a.copy()
    b[0, 16, 16] += 0.5
    assert np.allclose(ssim_map(a, a), 1, atol=1e-6)
    changed = ssim_map(a, b)[0]
    assert changed[16, 16] < 0.98 and changed[2, 2] == pytest.approx(1, abs=1e-6)
