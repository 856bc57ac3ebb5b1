"""Preprocessing turns a frame into a prepared frame, or refuses it in one sentence."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from latentline.errors import ImageError
from latentline.vision.preprocessing import Preprocessing, to_model_range, to_picture

kinds = st.sampled_from(["none", "per_image", "flat_field", "destripe"])


@given(
    st.integers(8, 90),
    st.integers(8, 90),
    st.sampled_from([0, 1, 3, 4]),
    st.sampled_from([1, 3]),
    st.sampled_from([None, 16, 50]),
    kinds,
)
def test_every_usable_frame_becomes_a_prepared_frame(
    h: int, w: int, given_channels: int, channels: int, height: int | None, kind: str
) -> None:
    """A prepared frame is uint8, has the configured channels and height, and keeps the aspect ratio."""
    shape = (h, w) if given_channels == 0 else (h, w, given_channels)
    frame = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    out = Preprocessing(channels=channels, height=height, normalise=kind).apply(frame)  # type: ignore[arg-type]
    assert out.dtype == np.uint8 and out.shape[0] == (height or h) and out.shape[2] == channels
    assert abs(out.shape[1] - max(8, w * out.shape[0] / h)) <= 0.5


@pytest.mark.parametrize(
    "frame",
    [
        np.zeros((20, 20), np.float32),
        np.zeros((20, 20, 2), np.uint8),
        np.zeros((20, 3), np.uint8),
        np.zeros((0, 20, 3), np.uint8),
        np.zeros(20, np.uint8),
        None,
    ],
)
def test_an_unusable_frame_is_refused(frame: object) -> None:
    """A frame of a wrong type, size or channel count raises ImageError."""
    with pytest.raises(ImageError, match="frame"):
        Preprocessing().apply(frame)  # type: ignore[arg-type]


def test_per_image_normalisation_undoes_brightness_and_contrast() -> None:
    """Frames x and a·x + b become the same prepared frame, up to rounding."""
    x = np.random.default_rng(0).normal(100, 20, (40, 40))
    same = [Preprocessing(normalise="per_image").apply(np.clip(v, 0, 255).astype(np.uint8)) for v in (x, 1.3 * x - 20)]
    assert np.abs(same[0].astype(int) - same[1]).mean() < 3


def test_destriping_is_the_log_minus_its_tall_blur() -> None:
    """Destriping equals SciPy's evaluation of the same formula, up to rounding."""
    frame = np.random.default_rng(0).integers(40, 200, (96, 60), dtype=np.uint8)
    out = Preprocessing(normalise="destripe", contrast=0.5).apply(frame)[:, :, 0]
    logs = np.log(frame + 8.0)
    expected = (logs - gaussian_filter(logs, (16, 1), mode="reflect")) / 0.5
    expected = np.clip(np.rint((expected + 1) * 127.5), 0, 255)
    assert np.abs(out.astype(float) - expected).max() <= 2


def test_the_model_range_can_be_inverted() -> None:
    """Grey levels 0…255 become [-1, 1], and come back unchanged."""
    tiles = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    x = to_model_range(tiles)
    assert x.shape == (1, 1, 16, 16) and (x.min(), x.max()) == (-1, 1)
    np.testing.assert_array_equal(to_picture(x), tiles)


def test_colour_becomes_opencv_grey() -> None:
    """A BGR frame becomes the grey frame of cv2.cvtColor."""
    frame = np.random.default_rng(0).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    np.testing.assert_array_equal(Preprocessing().apply(frame)[:, :, 0], cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY))


@pytest.mark.parametrize("shape", [(96, 60), (127, 300), (512, 700)])
def test_flat_fielding_is_the_image_over_its_wide_blur(shape: tuple[int, int]) -> None:
    """Flat-fielding equals SciPy's evaluation of the same formula at full size, up to rounding."""
    y, x = np.mgrid[: shape[0], : shape[1]] / shape[0]
    light = 0.6 + 0.4 * np.sin(3 * x) * np.cos(2 * y)
    frame = np.clip(120 * light + np.random.default_rng(0).normal(0, 15, shape), 0, 255).astype(np.uint8)
    out = Preprocessing(normalise="flat_field", contrast=0.5).apply(frame)[:, :, 0]
    values = frame + 8.0
    expected = (values / gaussian_filter(values, shape[0] / 6, mode="reflect") - 1) / 0.5
    expected = np.clip(np.rint((expected + 1) * 127.5), 0, 255)
    assert np.abs(out.astype(float) - expected).max() <= 1


def test_flat_fielding_undoes_uneven_light_and_keeps_the_defect() -> None:
    """Flat-fielding removes a slow gradient and keeps a dark spot."""
    light = np.linspace(80, 200, 160)[None, :] * np.ones((128, 1))
    spot = light.copy()
    spot[60:68, 80:88] *= 0.5
    flat = Preprocessing(normalise="flat_field", contrast=1.0)
    plain, spotted = (flat.apply(f.astype(np.uint8))[:, :, 0].astype(int) for f in (light, spot))
    assert np.ptp(plain[:, 20:-20]) < 0.2 * np.ptp(light[:, 20:-20]) * 127.5 / light.mean()
    assert (plain - spotted)[60:68, 80:88].min() > 40
