"""The host build of the kernel `ssim_difference` equals `SearchedFrame.difference` of kind ssim."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latentline.backends.settings import Precision
from latentline.backends.tensorrt.gpu import tile_launches
from latentline.search.searched_frame import SearchedFrame
from latentline.search.searcher import SearchResult
from latentline.vision.ssim import window
from latentline.vision.tiles import TilePlan
from tests.fake_cuda.host_kernels import Buffer, HostKernels

Array = npt.NDArray[Any]

TOLERANCE = 1e-5
# Of images with little contrast, far from grey: there float32 leaves 1e-7 of a variance near 0, beside C2 = 0.0036. The
# CPU path is as far from float64.
FLAT_TOLERANCE = 5e-4


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    height=st.integers(8, 60),
    width=st.integers(8, 75),
    channels=st.sampled_from([1, 3]),
    size=st.integers(8, 49),
    overlap=st.floats(0, 0.6),
    levels=st.sampled_from([(0, 256), (200, 232)]),
    noise=st.sampled_from([0, 0.01, 0.3, 2]),
    precision=st.sampled_from(["fp32", "fp16"]),
)
def test_host_build_of_ssim_difference_equals_the_cpu_path(
    host: Callable[[str], HostKernels],
    seed: int,
    height: int,
    width: int,
    channels: int,
    size: int,
    overlap: float,
    levels: tuple[int, int],
    noise: float,
    precision: Precision,
) -> None:
    """Tiles of any size, channels, contrast and likeness, in or beyond the frame, have the 1 − SSIM of `ssim_map`."""
    rng = np.random.default_rng(seed)
    image = rng.integers(*levels, (height, width, channels), np.uint8)
    plan = TilePlan.cover(height, width, size, overlap)
    x = plan.cut(image).transpose(0, 3, 1, 2) / 127.5 - 1
    reconstruction = (x + noise * rng.standard_normal(x.shape)).astype(
        np.float16 if precision == "fp16" else np.float32
    )
    _compare(host(precision), image, plan, reconstruction, TOLERANCE if levels == (0, 256) else FLAT_TOLERANCE)


@pytest.mark.parametrize("size", [16, 32, 128, 200])
def test_host_build_of_ssim_difference_has_no_seam_between_its_blocks(host_fp32: HostKernels, size: int) -> None:
    """Tiles of many blocks equal OpenCV at every pixel."""
    rng = np.random.default_rng(size)
    image = rng.integers(0, 256, (size, size, 3), np.uint8)
    reconstruction = rng.uniform(-1, 1, (1, 3, size, size)).astype(np.float32)
    difference = _compare(host_fp32, image, TilePlan.cover(size, size, size, 0), reconstruction)
    assert difference.std() > 0.1, "else a constant would pass"


@pytest.mark.parametrize(("level", "generated"), [(0, -1), (255, 1), (0, 1), (127, 0.0), (200, -1.5)])
def test_host_build_of_ssim_difference_of_constant_tiles(host_fp32: HostKernels, level: int, generated: float) -> None:
    """Without variance only the luminance counts; equal tiles differ by 0."""
    image, plan = np.full((20, 20, 1), level, np.uint8), TilePlan.cover(20, 20, 20, 0)
    difference = _compare(host_fp32, image, plan, np.full((1, 1, 20, 20), generated, np.float32), FLAT_TOLERANCE)
    x, g, c1 = level / 127.5, generated + 1, 0.0004
    expected = 1 - (2 * x * g + c1) / (x**2 + g**2 + c1)
    np.testing.assert_allclose(difference, expected, rtol=0, atol=FLAT_TOLERANCE)


def test_host_build_of_ssim_difference_spreads_nan_as_far_as_the_window(host_fp32: HostKernels) -> None:
    """A NaN in the reconstruction spoils the windows that hold it, in its channel of its tile, and no others."""
    image, plan = np.full((32, 64, 3), 90, np.uint8), TilePlan.cover(32, 64, 32, 0)
    reconstruction = np.zeros((2, 3, 32, 32), np.float32)
    reconstruction[1, 2, 20, 15] = np.nan
    expected = np.zeros(reconstruction.shape, bool)
    expected[1, 2, 15:26, 10:21] = True
    np.testing.assert_array_equal(np.isnan(_difference(host_fp32, image, plan, reconstruction)), expected)


def _compare(
    kernels: HostKernels, image: Array, plan: TilePlan, reconstruction: Array, tolerance: float = TOLERANCE
) -> Array:
    """The kernel's output, once it equals the CPU path."""
    difference = _difference(kernels, image, plan, reconstruction)
    found = SearchResult(z=np.empty(0, np.float32), reconstruction=reconstruction.astype(np.float32))
    expected = SearchedFrame(image, plan, plan.cut(image), found, {}).difference("ssim")
    np.testing.assert_allclose(difference, expected, rtol=0, atol=tolerance)
    return difference


def _difference(kernels: HostKernels, image: Array, plan: TilePlan, reconstruction: Array) -> Array:
    corners, prepared = Buffer(np.array(plan.corners, np.int32)), Buffer(image, aligned=False)
    generated, taps = Buffer(reconstruction, aligned=False), Buffer(window(), aligned=False)
    difference = Buffer.empty(reconstruction.shape, np.float32, aligned=False)
    kernels.run(
        tile_launches.ssim_difference(
            prepared.address,
            image.shape,
            corners.address,
            len(plan.corners),
            generated.address,
            plan.size,
            taps.address,
            difference.address,
        )
    )
    return difference.read()
