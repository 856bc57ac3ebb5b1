"""Maps and components of a searched frame equal their definitions in float64."""

from dataclasses import replace
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter, zoom

from latentline.scoring.components import frame_components, tile_components
from latentline.scoring.maps import PixelStatistics
from latentline.search.first_look import FirstLook
from latentline.search.searched_frame import MapKind, SearchedFrame
from latentline.search.searcher import SearchResult
from latentline.vision.preprocessing import to_model_range
from latentline.vision.ssim import ssim_map
from latentline.vision.tiles import TilePlan

SIZE = 16
KINDS: tuple[MapKind, ...] = get_args(MapKind)


def searched(height: int = 20, width: int = 37, channels: int = 1, seed: int = 0) -> SearchedFrame:
    """One frame of several tiles, with every field that any method gives."""
    rng = np.random.default_rng(seed)
    prepared = rng.integers(0, 256, (height, width, channels), dtype=np.uint8)
    plan = TilePlan.cover(height, width, SIZE, 0.25)
    count = len(plan.corners)

    def numbers(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float32)

    result = SearchResult(
        z=numbers(count, 3),
        reconstruction=np.clip(numbers(count, channels, SIZE, SIZE), -1, 1),
        feature_residual=numbers(count) ** 2,
        logit_reconstruction=numbers(count),
        logit_frame=numbers(count),
        loss=numbers(count) ** 2,
        kl=numbers(count) ** 2,
        patch_logits=numbers(count, 4, 4),
        negative_log_likelihood=numbers(count, channels, SIZE, SIZE),
    )
    return SearchedFrame(prepared, plan, plan.cut(prepared), result, {})


def statistics(channels: int = 1, kind: MapKind = "residual", seed: int = 1) -> PixelStatistics:
    rng = np.random.default_rng(seed)
    mean, std = rng.normal(size=(2, channels, SIZE, SIZE)).astype(np.float32)
    return PixelStatistics(mean, np.abs(std) + 0.5, (0.0, 1.0, 2.5), np.array([0.7, 1.3, 2.0], np.float32), kind)


def blended(example: SearchedFrame, tiles: np.ndarray) -> np.ndarray:
    """Blend tiles [N, S, S, ...] into a frame in float64, by the definition: weights fall towards the edges."""
    ramp = np.minimum(np.arange(SIZE) + 1.0, SIZE - np.arange(SIZE))
    window = ramp[:, None] * ramp
    total = np.zeros((example.plan.height, example.plan.width, *tiles.shape[3:]))
    weight = np.zeros(total.shape)
    for (y, x), tile in zip(example.plan.corners, tiles.astype(np.float64), strict=True):
        spread = window.reshape(SIZE, SIZE, *[1] * (tiles.ndim - 3))
        total[y : y + SIZE, x : x + SIZE] += tile * spread
        weight[y : y + SIZE, x : x + SIZE] += spread
    height, width = example.prepared.shape[:2]
    return (total / weight)[:height, :width]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channels", [1, 3])
def test_every_kind_of_map_is_its_definition(kind: MapKind, channels: int) -> None:
    """A map is the pooled difference: the root mean square for residuals, the positive mean for other kinds."""
    example, known = searched(channels=channels), statistics(channels, kind)
    x, g = to_model_range(example.tiles).astype(np.float64), example.result.reconstruction.astype(np.float64)
    assert example.result.negative_log_likelihood is not None
    differences: dict[str, npt.NDArray[np.floating[Any]]] = {
        "residual": x - g,
        "l1": abs(x - g),
        "l2": (x - g) ** 2,
        "ssim": 1 - ssim_map(to_model_range(example.tiles), example.result.reconstruction).astype(np.float64),
        "probability": example.result.negative_log_likelihood,
    }
    frame = blended(example, ((differences[kind] - known.mean) / known.std).transpose(0, 2, 3, 1))
    maps = known.maps(example)
    assert maps.shape == (3, 20, 37) and maps.dtype == np.float32
    for found, scale, spread in zip(maps, known.scales, known.pooled_std, strict=True):
        pooled = gaussian_filter(frame, (scale, scale, 0), mode="reflect", truncate=4) / spread
        expected = np.sqrt((pooled**2).mean(2)) if kind == "residual" else np.maximum(pooled.mean(2), 0)
        np.testing.assert_allclose(found, expected, atol=2e-3)
    assert (maps[0] == 0).any() == (kind != "residual")  # a difference below the mean is not abnormal


def test_the_patch_head_gives_one_more_map() -> None:
    """The map is −logits, upsampled bilinearly to the tile, blended and standardised; its peak is `d_patch`."""
    example = searched()
    known = replace(statistics(), patch_statistics=(0.3, 1.7))
    assert known.names == ("residual_0px", "residual_1px", "residual_2.5px", "d_patch")
    assert example.result.patch_logits is not None
    up = np.stack(
        [
            zoom(-t.astype(np.float64), SIZE / 4, order=1, mode="nearest", grid_mode=True)
            for t in example.result.patch_logits
        ]
    )
    expected = np.maximum((blended(example, up) - 0.3) / 1.7, 0)
    maps = known.maps(example)
    np.testing.assert_allclose(maps[3], expected, atol=1e-4)
    assert frame_components(example, maps, known)["d_patch"] == pytest.approx(expected.max(), abs=1e-4)


def test_components_follow_the_fields_of_the_method() -> None:
    """A method gives the components of its fields, and a larger component means more abnormal."""
    example, known = searched(), statistics()
    everything = frame_components(example, known.maps(example), known)
    assert list(everything) == ["feature", "d_reconstruction", "d_frame", "loss", "kl", *known.names]
    bare = replace(example, result=SearchResult(z=example.result.z, reconstruction=example.result.reconstruction))
    assert not tile_components(bare.result)
    assert list(frame_components(bare, known.maps(bare), known)) == list(known.names)
    assert example.result.logit_frame is not None and example.result.kl is not None
    worse = replace(example.result, logit_frame=example.result.logit_frame - 1, kl=example.result.kl * 3)
    more = frame_components(replace(example, result=worse), known.maps(example), known)
    assert more["d_frame"] == pytest.approx(everything["d_frame"] + 1)
    assert more["kl"] == pytest.approx(everything["kl"] + np.log(3), abs=1e-3)
    looked = replace(example, look=FirstLook(np.array([[5, -2], [3, 9]], np.float32)))
    assert frame_components(looked, known.maps(example), known) == {**everything, "d_look": 2.0}


@given(st.sets(st.sampled_from(["residual_0px", "residual_1px", "residual_2.5px", "d_patch"])))
def test_fewer_maps_are_the_same_maps(names: set[str]) -> None:
    """`only` keeps maps unchanged and in order."""
    known = replace(statistics(), patch_statistics=(0.3, 1.7))
    example = searched()
    fewer = known.only(names)
    kept = [i for i, name in enumerate(known.names) if name in names]
    assert fewer.names == tuple(known.names[i] for i in kept)
    if kept:
        np.testing.assert_array_equal(fewer.maps(example), known.maps(example)[kept])


def test_a_map_that_the_searcher_cannot_give_is_refused() -> None:
    """A probability map or a patch head's map is refused when the searcher does not give its field."""
    example = searched()
    bare = replace(example, result=replace(example.result, negative_log_likelihood=None, patch_logits=None))
    with pytest.raises(ValueError, match="probability"):
        statistics(kind="probability").maps(bare)
    with pytest.raises(ValueError, match="patch head"):
        replace(statistics(), patch_statistics=(0.0, 1.0)).maps(bare)
