"""The host build of kernels.cu equals NumPy, OpenCV and the CPU path. g++ compiles it, so no GPU is needed."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latentline.backends.adam import adam_search
from latentline.backends.settings import Precision
from latentline.backends.tensorrt.gpu import frame_launches, tile_launches
from latentline.backends.tensorrt.gpu.launch import KINDS, NOTHING
from latentline.inspection.host_reconstructor import reconstruction_of
from latentline.scoring.maps import pool
from latentline.search.first_look import FirstLook, least_normal, look_frame, look_shape
from latentline.search.searched_frame import MapKind, SearchedFrame
from latentline.search.searcher import SearchResult
from latentline.vision.preprocessing import Preprocessing, to_model_range
from latentline.vision.tiles import TilePlan
from tests.fake_cuda.host_kernels import Buffer, HostKernels, kernel_names
from tests.paths import KERNELS

Array = npt.NDArray[Any]
Size3 = tuple[int, int, int]

seeds = st.integers(0, 2**32 - 1)
kinds = st.sampled_from(KINDS)
few = settings(max_examples=60)


def real(precision: Precision) -> type[np.floating[Any]]:
    return np.float16 if precision == "fp16" else np.float32


@few
@given(
    seed=seeds,
    height=st.integers(8, 70),
    width=st.integers(8, 90),
    channels=st.sampled_from([(1, 1), (1, 3), (3, 1), (3, 3), (4, 1), (4, 3)]),
    padding=st.integers(0, 9),
    target=st.integers(16, 70),
)
def test_host_build_of_prepare_frame_equals_preprocessing(
    host_fp32: HostKernels,
    seed: int,
    height: int,
    width: int,
    channels: tuple[int, Literal[1, 3]],
    padding: int,
    target: int,
) -> None:
    """Channels and area resize equal the CPU path bit for bit, for any row pitch."""
    given_channels, wanted = channels
    height = max(height, target)
    frame = np.random.default_rng(seed).integers(0, 256, (height, width, given_channels), np.uint8)
    expected = Preprocessing(channels=wanted, height=target).apply(frame)
    pitch = width * given_channels + padding
    rows = np.full((height, pitch), 77, np.uint8)
    rows[:, : width * given_channels] = frame.reshape(height, -1)
    source = Buffer(rows.reshape(-1)[: pitch * (height - 1) + width * given_channels], aligned=padding == 4)
    prepared = Buffer.empty(expected.shape, np.uint8, aligned=False)
    host_fp32.run(
        frame_launches.prepare_frame(source.address, pitch, frame.shape, prepared.address, expected.shape),
    )
    np.testing.assert_array_equal(prepared.read(), expected)


@pytest.mark.parametrize("divisor", [1, 2, 3, 4])
def test_host_build_of_prepare_frame_averages_whole_pixels_as_opencv(host_fp32: HostKernels, divisor: int) -> None:
    """When the scale divides the frame, the mean of whole pixels is OpenCV's, with its special rounding for 2 x 2."""
    frame = np.random.default_rng(divisor).integers(0, 256, (24 * divisor, 17 * divisor, 3), np.uint8)
    expected = cv2.resize(frame, (17, 24), interpolation=cv2.INTER_AREA)
    prepared = Buffer.empty(expected.shape, np.uint8)
    source = Buffer(frame)
    host_fp32.run(
        frame_launches.prepare_frame(source.address, 3 * 17 * divisor, frame.shape, prepared.address, expected.shape)
    )
    np.testing.assert_array_equal(prepared.read(), expected)


def test_host_build_of_prepare_frame_drops_slivers_as_opencv(host_fp32: HostKernels) -> None:
    """Less than a thousandth of a source pixel is ignored, and more is not, up to the rounding of a grey level."""
    frame = np.random.default_rng(0).integers(0, 2, (1203, 1403, 1), np.uint8) * np.uint8(255)
    expected = cv2.resize(frame, (1402, 1201), interpolation=cv2.INTER_AREA)[..., None]
    prepared, source = Buffer.empty(expected.shape, np.uint8), Buffer(frame)
    host_fp32.run(frame_launches.prepare_frame(source.address, 1403, frame.shape, prepared.address, expected.shape))
    np.testing.assert_array_equal(prepared.read(), expected)


def test_host_build_of_prepare_frame_greys_every_colour_as_opencv(host_fp32: HostKernels) -> None:
    """The corners of the colour cube and a fine grid inside become the grey of cv2.cvtColor."""
    levels = np.array([*range(0, 256, 7), 1, 254, 255], np.uint8)
    frame = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(levels.size, -1, 3)
    prepared = Buffer.empty((*frame.shape[:2], 1), np.uint8)
    source = Buffer(frame)
    host_fp32.run(
        frame_launches.prepare_frame(
            source.address, frame.shape[1] * 3, frame.shape, prepared.address, (*frame.shape[:2], 1)
        )
    )
    np.testing.assert_array_equal(prepared.read()[..., 0], cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY))


@pytest.mark.parametrize(
    ("pitch", "source", "prepared"),
    [(30, (10, 10, 2), (10, 10, 1)), (29, (10, 10, 3), (10, 10, 3)), (30, (10, 10, 3), (11, 10, 3))],
)
def test_a_frame_the_kernels_cannot_prepare_is_refused(pitch: int, source: Size3, prepared: Size3) -> None:
    """Unknown channels, a pitch shorter than a row, and enlarging are refused before a launch."""
    with pytest.raises(ValueError, match=r"no kernel|does not fit"):
        frame_launches.prepare_frame(0, pitch, source, 0, prepared)


@few
@given(
    seed=seeds,
    height=st.integers(8, 60),
    width=st.integers(8, 60),
    channels=st.sampled_from([1, 3]),
    size=st.integers(8, 41),
    overlap=st.floats(0, 0.6),
    precision=st.sampled_from(["fp32", "fp16"]),
    aligned=st.booleans(),
)
def test_host_build_of_gather_tiles_equals_tile_plan(
    host: Callable[[str], HostKernels],
    seed: int,
    height: int,
    width: int,
    channels: int,
    size: int,
    overlap: float,
    precision: Precision,
    aligned: bool,
) -> None:
    """Tiles are cut, mirrored and scaled as on the CPU: bit for bit in float32, correctly rounded in half."""
    kernels = host(precision)
    image = np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)
    plan = TilePlan.cover(height, width, size, overlap)
    expected = to_model_range(plan.cut(image)).astype(real(precision))
    corners = Buffer(np.array(plan.corners, np.int32))
    prepared = Buffer(image, aligned=False)
    tiles = Buffer.empty(expected.shape, real(precision), aligned)
    kernels.run(
        tile_launches.gather_tiles(
            prepared.address, image.shape, corners.address, len(plan.corners), tiles.address, size, size
        )
    )
    np.testing.assert_array_equal(tiles.read(), expected)


@few
@given(height=st.integers(8, 150), width=st.integers(8, 150), channels=st.sampled_from([1, 3]), seed=seeds)
def test_host_build_of_gather_tiles_continues_a_frame_as_a_first_look_does(
    host_fp32: HostKernels, height: int, width: int, channels: int, seed: int
) -> None:
    """The frame itself is a tile with sides of its own; a small one is mirrored as often as needed."""
    image = np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)
    expected = to_model_range(look_frame(image, 64)[None])
    tiles, (prepared, corners) = (
        Buffer.empty(expected.shape, np.float32),
        (Buffer(image), Buffer(np.zeros((1, 2), np.int32))),
    )
    sides = expected.shape[2:]
    host_fp32.run(tile_launches.gather_tiles(prepared.address, image.shape, corners.address, 1, tiles.address, *sides))
    np.testing.assert_array_equal(tiles.read(), expected)


@few
@given(height=st.integers(8, 300), width=st.integers(8, 300), overlap=st.floats(0, 0.8), seed=seeds)
def test_host_build_of_logits_of_tiles_equals_numpy(
    host_fp32: HostKernels, height: int, width: int, overlap: float, seed: int
) -> None:
    """Bit for bit what the CPU's first look says of each tile, wherever it lies."""
    plan = TilePlan.cover(height, width, 64, overlap)
    rows, columns = (side // 16 - 3 for side in look_shape(height, width, 64))
    windows = np.random.default_rng(seed).normal(0, 9, (rows, columns)).astype(np.float32)
    given_windows, corners = Buffer(windows, aligned=False), Buffer(np.array(plan.corners, np.int32))
    logit = Buffer.empty((len(plan.corners),), np.float32)
    placed = given_windows.address, (rows, columns), 16, corners.address, len(plan.corners)
    host_fp32.run(tile_launches.logits_of_tiles(*placed, logit.address))
    np.testing.assert_array_equal(logit.read(), FirstLook(windows).of_tiles(plan))


@few
@given(seed=seeds, batch=st.integers(1, 9), latent=st.integers(1, 130), magnitude=st.sampled_from([1e-30, 1, 1e18]))
def test_host_build_of_adam_equals_adam_search(
    host_fp32: HostKernels, seed: int, batch: int, latent: int, magnitude: float
) -> None:
    """Eight iterations give the z of `adam_search` bit for bit, and put each loss into the trace."""
    rng = np.random.default_rng(seed)
    gradients = (rng.standard_normal((8, batch, latent)) * magnitude).astype(np.float32)
    losses = rng.standard_normal((8, batch)).astype(np.float32)
    start = rng.standard_normal((batch, latent)).astype(np.float32)
    z, m, v = (Buffer(a) for a in (start, np.zeros_like(start), np.zeros_like(start)))
    gradient, loss = Buffer.empty(start.shape, np.float32), Buffer.empty((batch,), np.float32)
    trace = Buffer.empty(losses.shape, np.float32)
    iteration, corrections = Buffer(np.zeros(1, np.int32)), Buffer(tile_launches.adam_corrections(8, 0.05))
    for t in range(8):
        iteration.array[0] = t
        gradient.array[...], loss.array[...] = gradients[t], losses[t]
        host_fp32.run(
            tile_launches.adam(
                z.address,
                gradient.address,
                m.address,
                v.address,
                loss.address,
                trace.address,
                iteration.address,
                corrections.address,
                count=start.size,
                batch=batch,
            )
        )
    steps = iter(gradients)
    np.testing.assert_array_equal(z.read(), adam_search(lambda _: next(steps), start, 8, 0.05))
    np.testing.assert_array_equal(trace.read(), losses)


@few
@given(
    seed=seeds,
    batch=st.integers(1, 4),
    maps=st.integers(1, 40),
    pixels=st.integers(1, 3000),
    precision=st.sampled_from(["fp32", "fp16"]),
    aligned=st.booleans(),
)
def test_host_build_of_tile_sums_equals_float64(
    host: Callable[[str], HostKernels],
    seed: int,
    batch: int,
    maps: int,
    pixels: int,
    precision: Precision,
    aligned: bool,
) -> None:
    """Feature residual and loss agree with float64, for any length and alignment."""
    kernels, rng = host(precision), np.random.default_rng(seed)
    gamma, lam = rng.uniform(0.05, 1), rng.uniform(0, 1)
    f = rng.standard_normal((2, batch, 16 * maps)).astype(real(precision))
    x = rng.uniform(-1, 1, (2, batch, pixels)).astype(real(precision))
    logit = (rng.standard_normal(batch) * 60).astype(np.float32)
    feature_residual, loss = _tile_sums(kernels, f, x, logit, gamma, lam, aligned)
    of_features, of_pixels = (np.abs(np.diff(a.astype(np.float64), axis=0)[0]).sum(axis=1) for a in (f, x))
    verdict = 1 / (1 + np.exp(np.float64(logit)))
    expected = gamma * ((1 - lam) * of_pixels + lam * of_features) + (1 - gamma) * verdict
    np.testing.assert_allclose(feature_residual, of_features, rtol=2e-6, atol=1e-6)
    np.testing.assert_allclose(loss, expected, rtol=2e-6, atol=1e-6)


def test_host_build_of_tile_sums_keeps_nan_in_its_tile(host_fp32: HostKernels) -> None:
    """A NaN in one tile spoils the sums of that tile alone, and extreme logits give finite losses."""
    f, x = np.ones((2, 3, 16), np.float32), np.zeros((2, 3, 5), np.float32)
    x[1, 1, 4] = f[0, 1, 3] = np.nan
    feature_residual, loss = _tile_sums(host_fp32, f, x, np.array([1e30, 0, -1e30], np.float32), 0.5, 0.5, True)
    np.testing.assert_array_equal(np.isnan(feature_residual), [False, True, False])
    np.testing.assert_array_equal(loss, np.array([0, np.nan, 0.5], np.float32))


def test_host_build_of_tile_sums_without_a_verdict_gives_features_alone(host_fp32: HostKernels) -> None:
    """Without a logit the feature residual is the same to the bit, and nothing else is written."""
    rng = np.random.default_rng(2)
    f, x = rng.standard_normal((2, 3, 48)).astype(np.float32), rng.uniform(-1, 1, (2, 3, 25)).astype(np.float32)
    expected, _ = _tile_sums(host_fp32, f, x, np.zeros(3, np.float32), 0.1, 0.1, True)
    inputs, residual = [Buffer(a) for a in (*f, *x)], Buffer.empty((3,), np.float32)
    addresses = (*(b.address for b in inputs), NOTHING, residual.address, NOTHING)
    host_fp32.run(tile_launches.tile_sums(*addresses, batch=3, feature_count=48, pixel_count=25, gamma=0.1, lam=0.1))
    np.testing.assert_array_equal(residual.read(), expected)


@few
@given(
    seed=seeds,
    tiles=st.integers(2, 1300),
    most=st.integers(1, 1299),
    batch=st.integers(1, 5),
    levels=st.sampled_from([1, 3, 1 << 20]),
    broken=st.integers(0, 9),
)
def test_host_build_of_select_tiles_equals_numpy(
    host_fp32: HostKernels, seed: int, tiles: int, most: int, batch: int, levels: int, broken: int
) -> None:
    """The chosen tiles are those of the CPU's first look, also of equal logits, of -0 and 0, infinities and NaN."""
    most, rng = min(most, tiles), np.random.default_rng(seed)
    logit = rng.integers(-levels, levels + 1, tiles).astype(np.float32)
    logit[rng.integers(0, tiles, broken)] = rng.choice(np.array([np.nan, np.inf, -np.inf, -0.0], np.float32), broken)
    room = -(-most // batch) * batch
    corners = rng.integers(0, 4000, (tiles, 2)).astype(np.int32)
    inputs = [Buffer(a, aligned=False) for a in (logit, corners)]
    place, chosen, chosen_corners = (Buffer.empty(s, np.int32, aligned=False) for s in ((tiles,), (room,), (room, 2)))
    looked, every_corner = (b.address for b in inputs)
    outputs = place.address, chosen.address, chosen_corners.address
    host_fp32.run(tile_launches.select_tiles(looked, every_corner, tiles, most, room, *outputs))
    expected = least_normal(logit, most)
    filled = np.concatenate([expected, np.repeat(expected[-1:], room - most)])
    np.testing.assert_array_equal(chosen.read(), filled)
    np.testing.assert_array_equal(chosen_corners.read(), corners[filled])
    places = np.full(tiles, -1)
    places[expected] = np.arange(most)
    np.testing.assert_array_equal(place.read(), places)


def _tile_sums(
    kernels: HostKernels, f: Array, x: Array, logit: Array, gamma: float, lam: float, aligned: bool
) -> list[Array]:
    batch = len(logit)
    inputs = [Buffer(a, aligned) for a in (*f, *x, logit)]
    outputs = [Buffer.empty((batch,), np.float32) for _ in range(2)]
    kernels.run(
        tile_launches.tile_sums(
            *(b.address for b in (*inputs, *outputs)),
            batch=batch,
            feature_count=f.shape[2],
            pixel_count=x.shape[2],
            gamma=gamma,
            lam=lam,
        )
    )
    return [b.read() for b in outputs]


@few
@given(
    seed=seeds,
    height=st.integers(8, 60),
    width=st.integers(8, 75),
    channels=st.sampled_from([1, 3]),
    size=st.integers(8, 33),
    overlap=st.floats(0, 0.7),
    precision=st.sampled_from(["fp32", "fp16"]),
    kind=kinds,
    most=st.one_of(st.none(), st.integers(1, 40)),
)
def test_host_build_of_blend_equals_tile_plan(
    host: Callable[[str], HostKernels],
    seed: int,
    height: int,
    width: int,
    channels: int,
    size: int,
    overlap: float,
    precision: Precision,
    kind: MapKind,
    most: int | None,
) -> None:
    """Difference and picture equal the CPU's bit for bit, also where the plan exceeds the frame.

    Where tiles are left out the CPU rounds otherwise, because it then computes only where something was searched.
    most  how many tiles are searched
    """
    kernels, rng = host(precision), np.random.default_rng(seed)
    image = rng.integers(0, 256, (height, width, channels), np.uint8)
    plan = TilePlan.cover(height, width, size, overlap)
    count = len(plan.corners)
    chosen = None if most is None else np.sort(rng.permutation(count)[:most])
    shape = (count if chosen is None else len(chosen), channels, size, size)
    reconstruction = rng.uniform(-1.5, 1.5, shape).astype(real(precision))
    mean = rng.standard_normal(shape[1:]).astype(np.float32)
    std = rng.uniform(0.01, 1, shape[1:]).astype(np.float32)
    generated = reconstruction.astype(np.float32)
    found = SearchResult(z=np.empty(0, np.float32), reconstruction=generated)
    tiles = plan.cut(image)
    searched = SearchedFrame(image, plan, tiles if chosen is None else tiles[chosen], found, {}, chosen=chosen)
    of_tiles = searched.difference("ssim") if kind == "ssim" else None
    place = None
    if chosen is not None:
        place = np.full(count, -1, np.int32)
        place[chosen] = np.arange(len(chosen))
    difference, picture = _blend(kernels, plan, image, reconstruction, mean, std, kind, of_tiles, place)
    standardised = (searched.difference(kind) - mean) / std
    blended = searched.blend(standardised.transpose(0, 2, 3, 1))
    if chosen is None:
        np.testing.assert_array_equal(difference, blended.transpose(2, 0, 1))
        np.testing.assert_array_equal(picture, reconstruction_of(searched))
    else:
        scale = max(1.0, float(np.abs(standardised).max()))
        np.testing.assert_allclose(difference, blended.transpose(2, 0, 1), rtol=1e-6, atol=1e-6 * scale)
        assert np.abs(picture.astype(int) - reconstruction_of(searched)).max() <= 1


def test_host_build_of_blend_keeps_nan_in_its_pixel(host_fp32: HostKernels) -> None:
    """A NaN in a tile gives NaN in the difference at that pixel alone, and black in the picture."""
    plan = TilePlan.cover(16, 30, 16, 0.1)
    image = np.full((16, 30, 1), 200, np.uint8)
    reconstruction = np.zeros((len(plan.corners), 1, 16, 16), np.float32)
    reconstruction[0, 0, 3, 4] = np.nan
    zero, one = np.zeros((1, 16, 16), np.float32), np.ones((1, 16, 16), np.float32)
    difference, picture = _blend(host_fp32, plan, image, reconstruction, zero, one, "residual")
    assert [tuple(at) for at in np.argwhere(np.isnan(difference))] == [(0, 3, 4)]
    assert picture[3, 4, 0] == 0


def _blend(
    kernels: HostKernels,
    plan: TilePlan,
    image: Array,
    reconstruction: Array,
    mean: Array,
    std: Array,
    kind: MapKind,
    of_tiles: Array | None = None,
    placed: Array | None = None,
) -> tuple[Array, Array]:
    rows, columns = (np.array(sorted({corner[axis] for corner in plan.corners}), np.int32) for axis in (0, 1))
    prepared, generated, means, stds = (Buffer(a) for a in (image, reconstruction, mean, std))
    row_starts, column_starts = Buffer(rows, aligned=False), Buffer(columns, aligned=False)
    tile_difference = None if of_tiles is None else Buffer(of_tiles, aligned=False)
    place = None if placed is None else Buffer(placed, aligned=False)
    height, width, channels = image.shape
    difference = Buffer.empty((channels, height, width), np.float32, aligned=False)
    picture = Buffer.empty(image.shape, np.uint8, aligned=False)
    kernels.run(
        frame_launches.blend(
            prepared.address,
            image.shape,
            generated.address,
            0 if tile_difference is None else tile_difference.address,
            means.address,
            stds.address,
            row_starts.address,
            rows.size,
            column_starts.address,
            columns.size,
            NOTHING if place is None else place.address,
            plan.size,
            difference.address,
            picture.address,
            kind=kind,
        )
    )
    return difference.read(), picture.read()


@few
@given(
    seed=seeds,
    height=st.integers(8, 70),
    width=st.integers(8, 80),
    channels=st.sampled_from([1, 3]),
    scales=st.lists(st.just(0.0) | st.floats(0.5, 9), min_size=1, max_size=3),  # 0: not pooled
    kind=kinds,
)
def test_host_build_of_pooling_equals_opencv(
    host_fp32: HostKernels, seed: int, height: int, width: int, channels: int, scales: list[float], kind: MapKind
) -> None:
    """The map of several scales, and the peak of each, equal `PixelStatistics.maps`."""
    rng = np.random.default_rng(seed)
    difference = rng.standard_normal((channels, height, width)).astype(np.float32)
    stds = rng.uniform(0.1, 2, len(scales)).astype(np.float32)
    anomaly_map, maxima = _pool(host_fp32, difference, scales, stds, kind)
    pooled = [pool(difference.transpose(1, 2, 0), scale) / std for scale, std in zip(scales, stds, strict=True)]
    planes = [
        np.sqrt(np.square(p).mean(axis=2)) if kind == "residual" else np.maximum(p.mean(axis=2), 0) for p in pooled
    ]
    atol = 1e-6 if kind == "residual" else 1e-5  # channels of both signs cancel in a mean
    np.testing.assert_allclose(anomaly_map, np.max(planes, axis=0), rtol=2e-5, atol=atol)
    np.testing.assert_allclose(maxima.max(axis=1), [p.max() for p in planes], rtol=2e-5, atol=atol)


def test_host_build_of_pooling_joins_the_blocks_of_a_row(host_fp32: HostKernels) -> None:
    """A row that needs several blocks has no seam."""
    difference = np.random.default_rng(0).standard_normal((1, 9, 2100)).astype(np.float32)
    anomaly_map, _ = _pool(host_fp32, difference, [3.0], np.ones(1, np.float32), "residual")
    np.testing.assert_allclose(anomaly_map, np.abs(pool(difference[0][..., None], 3.0))[..., 0], rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_host_build_of_pooling_spreads_nan_as_far_as_the_gaussian_reaches(
    host_fp32: HostKernels, kind: MapKind
) -> None:
    """NaN covers the reach of the Gaussian and no more; it stays in the map and wins the maximum of its scale."""
    difference = np.zeros((1, 40, 64), np.float32)
    difference[0, 20, 30] = np.nan
    radius = frame_launches.gaussian_taps(1.0).size // 2
    anomaly_map, maxima = _pool(host_fp32, difference, [1.0, 0.5], np.ones(2, np.float32), kind)
    expected = np.zeros((40, 64), bool)
    expected[20 - radius : 21 + radius, 30 - radius : 31 + radius] = True
    np.testing.assert_array_equal(np.isnan(anomaly_map), expected)
    assert np.isnan(maxima.max(axis=1)).all()


def _pool(
    kernels: HostKernels, difference: Array, scales: list[float], stds: Array, kind: MapKind
) -> tuple[Array, Array]:
    channels, height, width = difference.shape
    shape = height, width, channels
    source, pooled_rows = Buffer(difference, aligned=False), Buffer.empty(difference.shape, np.float32, aligned=False)
    anomaly_map = Buffer.empty((height, width), np.float32, aligned=False)
    maxima = Buffer.empty((len(scales), frame_launches.pool_blocks(height, width)), np.float32, aligned=False)
    for index, (scale, std) in enumerate(zip(scales, stds, strict=True)):
        taps = Buffer(frame_launches.gaussian_taps(scale), aligned=False)
        kernels.run(frame_launches.pool_rows(source.address, shape, taps.address, taps.array.size, pooled_rows.address))
        kernels.run(
            frame_launches.pool_columns(
                pooled_rows.address,
                shape,
                taps.address,
                taps.array.size,
                anomaly_map.address,
                maxima.address,
                pooled_std=std,
                kind=kind,
                scale_index=index,
            )
        )
    return anomaly_map.read(), maxima.read()


@few
@given(scale=st.floats(0.3, 30))
def test_gaussian_taps_equal_opencv(scale: float) -> None:
    """The taps equal cv2.GaussianBlur of an impulse."""
    taps = frame_launches.gaussian_taps(scale)
    impulse = np.zeros((1, 2 * taps.size + 1), np.float32)
    impulse[0, taps.size] = 1
    blurred = cv2.GaussianBlur(impulse, (0, 0), scale, sigmaY=1e-6, borderType=cv2.BORDER_REFLECT)[0]
    np.testing.assert_allclose(blurred[taps.size - taps.size // 2 :][: taps.size], taps, rtol=1e-6)
    assert np.count_nonzero(blurred) <= taps.size


@few
@given(
    seed=seeds,
    scales=st.integers(1, 4),
    blocks=st.integers(1, 1500),
    tiles=st.integers(1, 700),
    broken=st.sampled_from([None, 0, 1, 2, 3, 4]),
    kind=kinds,
    verdict=st.booleans(),
)
def test_host_build_of_frame_values_equals_numpy(
    host_fp32: HostKernels,
    seed: int,
    scales: int,
    blocks: int,
    tiles: int,
    broken: int | None,
    kind: MapKind,
    verdict: bool,
) -> None:
    """Each component is NumPy's maximum, and NaN when one of its inputs is NaN; two need D's verdict on G(ẑ)."""
    rng = np.random.default_rng(seed)
    maxima = rng.uniform(0, 50, (scales, blocks)).astype(np.float32)
    components = [rng.standard_normal(tiles).astype(np.float32) for _ in range(4)]
    components[0] = np.abs(components[0])
    arrays = [maxima, *components]
    if broken is not None:
        arrays[broken].reshape(-1)[rng.integers(arrays[broken].size)] = np.nan
    buffers = [Buffer(a, aligned=False) for a in arrays]
    values = Buffer.empty((scales + (4 if verdict else 2),), np.float32, aligned=False)
    peaks, residuals, reconstructions, verdicts, losses = (b.address for b in buffers)
    if not verdict:
        reconstructions = losses = NOTHING
    host_fp32.run(
        frame_launches.frame_values(
            peaks,
            scales,
            blocks,
            residuals,
            reconstructions,
            verdicts,
            losses,
            tiles,
            values.address,
            kind=kind,
        )
    )
    offset, floor = np.float32(1e-6), np.float32(1e-6 if kind == "residual" else 1)
    feature, reconstruction, frame, loss = components
    expected = [
        *np.log(maxima.max(axis=1) + floor),
        np.log(feature.max() + offset),
        (-reconstruction).max(),
        (-frame).max(),
        loss.max(),
    ]
    if not verdict:
        del expected[-1], expected[-2]
    np.testing.assert_allclose(values.read(), expected, rtol=3e-7, atol=1e-7)


def test_host_build_gives_the_same_bits_every_time(host: Callable[[str], HostKernels]) -> None:
    """Two runs on the same half-precision input agree bit for bit."""
    rng = np.random.default_rng(3)
    f, x = rng.standard_normal((2, 2, 160)).astype(np.float16), rng.standard_normal((2, 2, 1001)).astype(np.float16)
    logit = rng.standard_normal(2).astype(np.float32)
    first, second = (_tile_sums(host("fp16"), f, x, logit, 0.1, 0.1, True) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_launches_keep_the_bounds_the_kernels_declare() -> None:
    """No block exceeds its kernel's __launch_bounds__, or the shared memory that every GPU has."""
    shape = (1000, 3000, 3)
    made = [
        frame_launches.prepare_frame(0, 9000, shape, 0, shape),
        tile_launches.gather_tiles(0, shape, 0, 9, 0, 64, 64),
        tile_launches.adam(0, 0, 0, 0, 0, 0, 0, 0, count=9, batch=3),
        tile_launches.tile_sums(0, 0, 0, 0, 0, 0, 0, batch=9, feature_count=16, pixel_count=9, gamma=0.1, lam=0.1),
        tile_launches.logits_of_tiles(0, (3, 4), 16, 0, 9, 0),
        tile_launches.select_tiles(0, 0, 9, 3, 4, 0, 0, 0),
        tile_launches.ssim_difference(0, shape, 0, 9, 0, 64, 0, 0),
        frame_launches.blend(0, shape, 0, 0, 0, 0, 0, 3, 0, 3, 0, 64, 0, 0, kind="l2"),
        frame_launches.pool_rows(0, shape, 0, 801, 0),
        frame_launches.pool_columns(0, shape, 0, 801, 0, 0, pooled_std=1, kind="l2", scale_index=0),
        frame_launches.frame_values(0, 3, 9, 0, 0, 0, 0, 9, 0, kind="l2"),
    ]
    declared = re.findall(r"__launch_bounds__\((\d+)\)\s+(\w+)\(", KERNELS.read_text(encoding="utf-8"))
    bounds = {name: int(threads) for threads, name in declared}
    assert [launch.name for launch in made] == list(bounds) == kernel_names()
    for launch in made:
        assert math.prod(launch.block) == bounds[launch.name]
        assert launch.shared <= 48 * 1024
