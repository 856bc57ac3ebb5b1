"""Each column shows what its title says."""

import numpy as np
import pytest

from latentline.inspection.panels import GREEN
from trainer.pictures.columns import anomaly_maps, differences, enlarged, photographs


def _tiles(channels: int = 1) -> np.ndarray:
    return np.random.default_rng(0).integers(40, 200, (3, 16, 16, channels), dtype=np.uint8)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_difference_has_no_colour_where_tile_and_reconstruction_are_equal(channels: int) -> None:
    """Red where the tile is brighter, blue where it is darker."""
    tiles = _tiles(channels)
    other = tiles.copy()
    other[0, :, 8:] -= 30
    other[1, :, 8:] += 30
    brighter, darker, equal = differences(tiles, other).pictures
    neutral = equal[0, 0]
    assert (equal == neutral).all() and np.ptp(neutral.astype(int)) < 10 and neutral.min() > 240
    for picture, strong, weak in ((brighter, 2, 0), (darker, 0, 2)):  # BGR
        assert (picture[:, :80] == neutral).all()
        assert (picture[:, 80:, strong] > picture[:, 80:, weak].astype(int) + 30).all()


def test_of_colours_the_channel_that_differs_most_is_shown() -> None:
    """A red that becomes blue does not cancel: the larger change gives value and sign."""
    tiles = _tiles(3)
    for change in (np.array([20, 0, -35]), np.array([-20, 0, 35])):
        picture = differences(tiles, (tiles + change).astype(np.uint8)).pictures[0]
        blue, _, red = picture[0, 0].tolist()
        assert (picture == picture[0, 0]).all() and (red > blue) == (change[2] < 0)


def test_the_scale_of_differences_does_not_depend_on_the_model() -> None:
    """A good and a bad model are drawn on one scale, which all rows share and which is written."""
    tiles = _tiles()
    good, bad = differences(tiles, tiles + 1), differences(tiles, 255 - tiles)
    assert good.scale is not None and bad.scale is not None and good.scale.meaning == bad.scale.meaning
    end = int(good.scale.meaning.split()[2])
    assert 60 < end <= 80 and f"−{end} to {end} grey levels" in good.scale.meaning
    flat = differences(np.full_like(tiles, 9), np.full_like(tiles, 9)).scale
    assert flat is not None and "−8 to 8 grey levels" in flat.meaning


@pytest.mark.parametrize(("size", "side"), [(16, 160), (64, 192), (128, 256), (512, 256)])
def test_small_tiles_are_enlarged_pixel_by_pixel(size: int, side: int) -> None:
    """Large enough to see pixels, and small enough for a page."""
    tile = np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8)
    picture = enlarged(tile)
    assert picture.shape == (side, side, 3)
    if side >= size:
        factor = side // size
        assert all(np.array_equal(picture[y::factor, x::factor], tile) for y in range(factor) for x in range(factor))


def test_colours_stay_and_the_mask_is_outlined() -> None:
    """Green around the mask, the tile itself everywhere else; a tile without a mask is untouched."""
    tiles = _tiles(3)
    mask = np.zeros((16, 16), np.bool_)
    mask[4:8, 6:12] = True
    outlined, untouched, _ = photographs("tile", tiles, [mask, None, None]).pictures
    np.testing.assert_array_equal(untouched, enlarged(tiles[1]))
    green = (outlined == GREEN).all(axis=2)
    np.testing.assert_array_equal(outlined[~green], enlarged(tiles[0])[~green])
    ys, xs = np.nonzero(green)
    assert (ys.min(), ys.max(), xs.min(), xs.max()) == (40, 79, 60, 119)
    assert not green[41:79, 61:119].any()
    assert (anomaly_maps(np.zeros((1, 16, 16), np.float32), [mask]).pictures[0] == GREEN).all(
        axis=2
    ).sum() == green.sum()


def test_anomaly_maps_of_all_rows_have_one_scale() -> None:
    """From black at 0 to bright at 8 standard deviations and above."""
    maps = np.stack([np.full((16, 16), value, np.float32) for value in (0, 4, 8, 100)])
    black, middle, bright, more = (picture[0, 0].astype(int).sum() for picture in anomaly_maps(maps).pictures)
    assert black < 10 < middle < bright == more
