"""Maps and components of a search, against their definitions in float64."""

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
from latentline.search.searched_frame import MapKind, SearchedFrame
from latentline.search.searcher import SearchResult
from latentline.vision.preprocessing import to_model_range
from latentline.vision.ssim import ssim_map
from latentline.vision.tiles import TilePlan

SIZE = 16
KINDS: tuple[MapKind, ...] = get_args(MapKind)


def searched(height: int = 20, width: int = 37, channels: int = 1, seed: int = 0) -> SearchedFrame:
    """One frame of several tiles, with everything that any method gives."""
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


def blended(seen: SearchedFrame, tiles: np.ndarray) -> np.ndarray:
    """Tiles [N, S, S, ...] -> frame, in float64 from the definition: weights fall with the distance to the edges."""
    ramp = np.minimum(np.arange(SIZE) + 1.0, SIZE - np.arange(SIZE))
    window = ramp[:, None] * ramp
    total = np.zeros((seen.plan.height, seen.plan.width, *tiles.shape[3:]))
    weight = np.zeros(total.shape)
    for (y, x), tile in zip(seen.plan.corners, tiles.astype(np.float64), strict=True):
        spread = window.reshape(SIZE, SIZE, *[1] * (tiles.ndim - 3))
        total[y : y + SIZE, x : x + SIZE] += tile * spread
        weight[y : y + SIZE, x : x + SIZE] += spread
    height, width = seen.prepared.shape[:2]
    return (total / weight)[:height, :width]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channels", [1, 3])
def test_every_kind_of_map_is_its_definition(kind: MapKind, channels: int) -> None:
    """Standardised, blended, pooled; a signed residual by its root mean square, others by their positive mean."""
    seen, known = searched(channels=channels), statistics(channels, kind)
    x, g = to_model_range(seen.tiles).astype(np.float64), seen.result.reconstruction.astype(np.float64)
    assert seen.result.negative_log_likelihood is not None
    differences: dict[str, npt.NDArray[np.floating[Any]]] = {
        "residual": x - g,
        "l1": abs(x - g),
        "l2": (x - g) ** 2,
        "ssim": 1 - ssim_map(to_model_range(seen.tiles), seen.result.reconstruction).astype(np.float64),
        "probability": seen.result.negative_log_likelihood,
    }
    frame = blended(seen, ((differences[kind] - known.mean) / known.std).transpose(0, 2, 3, 1))
    maps = known.maps(seen)
    assert maps.shape == (3, 20, 37) and maps.dtype == np.float32
    for found, scale, spread in zip(maps, known.scales, known.pooled_std, strict=True):
        pooled = gaussian_filter(frame, (scale, scale, 0), mode="reflect", truncate=4) / spread
        expected = np.sqrt((pooled**2).mean(2)) if kind == "residual" else np.maximum(pooled.mean(2), 0)
        np.testing.assert_allclose(found, expected, atol=2e-3)
    assert (maps[0] == 0).any() == (kind != "residual")  # less than usual is not abnormal


def test_the_patch_head_gives_one_more_map() -> None:
    """−logits, upsampled bilinearly to the tile, blended, standardised by two numbers; its peak is `d_patch`."""
    seen = searched()
    known = replace(statistics(), patch_statistics=(0.3, 1.7))
    assert known.names == ("residual_0px", "residual_1px", "residual_2.5px", "d_patch")
    assert seen.result.patch_logits is not None
    up = np.stack(
        [
            zoom(-t.astype(np.float64), SIZE / 4, order=1, mode="nearest", grid_mode=True)
            for t in seen.result.patch_logits
        ]
    )
    expected = np.maximum((blended(seen, up) - 0.3) / 1.7, 0)
    maps = known.maps(seen)
    np.testing.assert_allclose(maps[3], expected, atol=1e-4)
    assert frame_components(seen.result, maps, known)["d_patch"] == pytest.approx(expected.max(), abs=1e-4)


def test_components_exist_where_the_method_has_them() -> None:
    """An autoencoder has maps alone; a kl and verdicts come with their fields; larger is more abnormal."""
    seen, known = searched(), statistics()
    everything = frame_components(seen.result, known.maps(seen), known)
    assert list(everything) == ["feature", "d_reconstruction", "d_frame", "loss", "kl", *known.names]
    bare = SearchResult(z=seen.result.z, reconstruction=seen.result.reconstruction)
    assert not tile_components(bare)
    assert list(frame_components(bare, known.maps(replace(seen, result=bare)), known)) == list(known.names)
    assert seen.result.logit_frame is not None and seen.result.kl is not None
    worse = replace(seen.result, logit_frame=seen.result.logit_frame - 1, kl=seen.result.kl * 3)
    more = frame_components(worse, known.maps(seen), known)
    assert more["d_frame"] == pytest.approx(everything["d_frame"] + 1)
    assert more["kl"] == pytest.approx(everything["kl"] + np.log(3), abs=1e-3)


@given(st.sets(st.sampled_from(["residual_0px", "residual_1px", "residual_2.5px", "d_patch"])))
def test_fewer_maps_are_the_same_maps(names: set[str]) -> None:
    """What `only` keeps is unchanged, in order."""
    known = replace(statistics(), patch_statistics=(0.3, 1.7))
    seen = searched()
    fewer = known.only(names)
    kept = [i for i, name in enumerate(known.names) if name in names]
    assert fewer.names == tuple(known.names[i] for i in kept)
    if kept:
        np.testing.assert_array_equal(fewer.maps(seen), known.maps(seen)[kept])


def test_a_map_that_the_searcher_cannot_give_is_refused() -> None:
    """A probability, or a patch head's verdict, from a searcher without one."""
    seen = searched()
    bare = replace(seen, result=replace(seen.result, negative_log_likelihood=None, patch_logits=None))
    with pytest.raises(ValueError, match="probability"):
        statistics(kind="probability").maps(bare)
    with pytest.raises(ValueError, match="patch head"):
        replace(statistics(), patch_statistics=(0.0, 1.0)).maps(bare)
