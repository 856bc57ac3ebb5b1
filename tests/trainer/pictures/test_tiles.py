"""The right tile of a frame is shown beside what a model makes of it."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from latentline.vision.preprocessing import Preprocessing
from latentline.vision.tiles import TilePlan
from tests.trainer.folder import tiny_config
from tests.trainer.pictures.viewers import TILE, read_cells, shifting_viewer
from trainer.checkpoint import Checkpoint
from trainer.config import TrainConfig
from trainer.data.split import Split
from trainer.networks.factory import build_encoder, build_gan
from trainer.pictures.columns import enlarged
from trainer.pictures.tiles import PicturedTile, TileViewer, fullest_tile


def _frame(height: int = 100, width: int = 130, channels: int = 1) -> np.ndarray:
    frame = np.random.default_rng(0).integers(0, 256, (height, width, channels), dtype=np.uint8)
    return frame[..., 0] if channels == 1 else frame


def test_a_tile_holds_the_bulk_of_the_mask() -> None:
    """No other tile of the frame holds more of it; the tile's mask is cut at the same place."""
    rng = np.random.default_rng(1)
    for _ in range(20):
        mask = np.zeros((100, 130), np.bool_)
        y, x, height, width = rng.integers((0, 0, 2, 2), (90, 120, 60, 60))
        mask[y : y + height, x : x + width] = True
        plan = TilePlan.cover(100, 130, TILE, 0.5)
        held = [mask[y : y + TILE, x : x + TILE].sum() for y, x in plan.corners]
        assert held[fullest_tile(plan, mask)] == max(held) > 0
        shown = shifting_viewer(0).cut("a", mask.astype(np.uint8), mask, mask)
        assert shown.mask is not None
        np.testing.assert_array_equal(shown.mask, shown.tile[..., 0] > 0)


def test_of_several_tiles_the_one_around_the_mask_is_shown() -> None:
    """A small defect inside four overlapping tiles stands as near the middle as it can."""
    plan = TilePlan.cover(100, 100, TILE, 0.75)
    mask = np.zeros((100, 100), np.bool_)
    mask[50:53, 60:63] = True
    y, x = plan.corners[fullest_tile(plan, mask)]
    assert abs(y + TILE / 2 - 51.5) <= 8 and abs(x + TILE / 2 - 61.5) <= 8


def test_without_a_place_the_middle_is_shown() -> None:
    """Of a frame in three by three tiles the fifth."""
    frame, viewer = _frame(64, 64), shifting_viewer(0)
    np.testing.assert_array_equal(viewer.cut("a", frame).tile[..., 0], frame[16:48, 16:48])


def test_map_and_mask_follow_the_tile_through_the_preprocessing() -> None:
    """The frame is halved; its map has a peak that is also the only abnormal pixel."""
    viewer = shifting_viewer(0)
    viewer = replace(viewer, tiler=replace(viewer.tiler, preprocessing=Preprocessing(height=50)))
    heat, mask = np.zeros((100, 130), np.float32), np.zeros((100, 130), np.bool_)
    heat[80:84, 20:24], mask[80:84, 20:24] = 5, True
    shown = viewer.cut("a", _frame(), mask, mask, heat)
    assert shown.mask is not None and shown.anomaly_map is not None
    assert shown.tile.shape == (TILE, TILE, 1) and shown.anomaly_map.shape == shown.mask.shape == (TILE, TILE)
    assert shown.mask.sum() == 4 and (shown.anomaly_map[shown.mask] > 4).all() and shown.anomaly_map.sum() < 40


def test_a_frame_smaller_than_a_tile_is_shown_as_it_is_searched() -> None:
    """Mirrored, with its mask."""
    frame = _frame(20, 24)
    mask = frame > 250
    shown = shifting_viewer(0).cut("a", frame, mask, mask, frame.astype(np.float32))
    assert shown.mask is not None and shown.anomaly_map is not None
    np.testing.assert_array_equal(shown.mask, shown.tile[..., 0] > 250)
    np.testing.assert_array_equal(shown.anomaly_map, shown.tile[..., 0])


@pytest.mark.parametrize("channels", [1, 3])
def test_a_row_shows_tile_reconstructions_difference_and_map(tmp_path: Path, channels: int) -> None:
    """In their own colours; the difference is that of the last search, and there is none where it found the tile."""
    frame = _frame(channels=channels)
    viewer = shifting_viewer(20, 0, channels=channels)
    tiles = [viewer.cut(name, frame, heat=np.zeros(frame.shape[:2], np.float32)) for name in "abc"]
    viewer.save(tmp_path / "tiles.png", tiles)
    rows = read_cells(tmp_path / "tiles.png")
    assert [len(row) for row in rows] == [5, 5, 5]
    for (tile, shifted, found, difference, heat), shown in zip(rows, tiles, strict=True):
        np.testing.assert_array_equal(tile, enlarged(shown.tile))
        np.testing.assert_array_equal(found, tile)
        np.testing.assert_array_equal(shifted, np.minimum(tile.astype(int) + 20, 255))
        assert (difference == difference[0, 0]).all() and difference.min() > 240
        assert heat.max() < 10


def test_the_same_tiles_give_the_same_file(tmp_path: Path) -> None:
    """To the byte; and where a tile has no map, there is no column of maps."""
    viewer = shifting_viewer(9)
    tile = viewer.cut("a", _frame(), heat=np.zeros((100, 130), np.float32))
    for name in ("one", "two"):
        viewer.save(tmp_path / f"{name}.png", [tile, PicturedTile("b", tile.tile)])
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    assert [len(row) for row in read_cells(tmp_path / "one.png")] == [3, 3]


@pytest.mark.parametrize(
    ("encoder", "iterations", "titles"),
    [(True, 0, ["G(E(x))"]), (True, 2, ["G(E(x))", "after 2 search steps"]), (False, 2, ["after 2 search steps"])],
)
def test_what_a_checkpoint_finds_is_shown(tmp_path: Path, encoder: bool, iterations: int, titles: list[str]) -> None:
    """What the encoder gives at once, where there is one, and what the search gives, where it has iterations."""
    content = {**tiny_config(tmp_path), "method": {"kind": "anogan"}, "search": {"iterations": 2}}
    config = TrainConfig.model_validate(content)
    generator, discriminator = build_gan(config)
    found_z = build_encoder(config).eval() if encoder else None
    split = Split((), (), (), (), (), {})
    checkpoint = Checkpoint(config, generator.eval(), discriminator.eval(), found_z, split, 0, "")
    viewer = TileViewer.of_checkpoint(checkpoint, iterations)
    assert [
        title.replace("\n", " ").split(" ", 3)[-1].removeprefix("at once, ") for title in viewer.searchers
    ] == titles
    viewer.save(tmp_path / "tiles.png", [viewer.cut("a", _frame())])
    ((_, *found, _),) = read_cells(tmp_path / "tiles.png")
    assert len(found) == len(titles) and not any((a == b).all() for a, b in pairwise(found))
