"""Contrast is the residual inside the masks of defects over that of normal tiles, whatever the searcher."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from bench.detection.reconstruction.contrast import Contrast, ContrastTiles
from latentline.search.searcher import SearchResult
from latentline.vision.images import read_image
from latentline.vision.preprocessing import to_model_range
from tests.trainer.folder import tiny_config, write_folder
from trainer.config import TrainConfig
from trainer.data.sources import open_source

DARK = 10  # grey level of the defects of kind `bar`; those of `square` have 250


class MadeUpSearcher:
    """Gives every tile a reconstruction that is `made`, or the tile itself, with an error on each pixel."""

    name = "made up"

    def __init__(self, made: np.ndarray | None = None, error: float = 0.0) -> None:
        self._made, self._error = made, error

    def search(self, tiles: np.ndarray) -> SearchResult:
        x = to_model_range(tiles)
        made = (x if self._made is None else np.broadcast_to(self._made, x.shape)) + np.float32(self._error)
        return SearchResult(z=np.zeros((len(x), 1), np.float32), reconstruction=made, loss=np.ones(len(x), np.float32))

    def close(self) -> None:
        """Nothing to release."""


GREY = MadeUpSearcher(np.zeros(1, np.float32))


def _two_kinds(root: Path) -> Path:
    """A folder in which each image is one tile, with two kinds of defects."""
    write_folder(root, train=96, side=32)
    for index in range(4):
        image = read_image(root / "test" / "good" / f"{index:03}.png")
        mask = np.zeros_like(image)
        image[4:9], mask[4:9] = DARK, 255
        for path, content in (("test/bar", image), ("ground_truth/bar", mask)):
            name = f"{index:03}{'_mask' if 'truth' in path else ''}.png"
            (root / path).mkdir(parents=True, exist_ok=True)
            assert cv2.imwrite(str(root / path / name), content)
    return root


def _contrast(root: Path, searcher: MadeUpSearcher, **data: Any) -> Contrast:
    given = tiny_config(root)
    config = TrainConfig.model_validate({**given, "data": {**given["data"], **data}})
    source = open_source(config.data, config.preprocessing)
    return ContrastTiles.cut(source, source.split(config.schedule.seed), config).measure(searcher)


def test_a_searcher_that_copies_has_no_contrast(tmp_path: Path) -> None:
    """With the same error everywhere every ratio is 1; without any error there is nothing to divide by."""
    root = _two_kinds(tmp_path / "data")
    found = _contrast(root, MadeUpSearcher(error=0.125))
    ratios = [found.ratio(r) for r in (found.held_out, found.known_abnormal, *found.kinds.values())]
    assert ratios == pytest.approx([1, 1, 1, 1]) and found.ratio(found.all_kinds(shown=True)) == pytest.approx(1)
    exact = _contrast(root, MadeUpSearcher())
    assert exact.ratio(exact.held_out) is None and exact.kinds["square"].explained == 1


def test_the_contrast_of_a_grey_image_is_that_of_the_pixels(tmp_path: Path) -> None:
    """Inside masks alone, each image once, kinds that were shown apart from those that were not."""
    root = _two_kinds(tmp_path / "data")
    found = _contrast(root, GREY, known_abnormal_types=["square"])
    good = [to_model_range(read_image(p)[None, ..., None]) for p in (root / "test" / "good").iterdir()]
    normal = np.mean(np.square(np.stack(good)))
    bright, dark = (np.square(level / 127.5 - 1) / normal for level in (250, DARK))
    assert found.normal.mean_square == pytest.approx(normal, rel=1e-4)
    assert (found.normal.images, found.normal_is, found.shown) == (8, "test", ("square",))
    assert found.ratio(found.known_abnormal) == pytest.approx(bright, rel=1e-4)
    assert found.ratio(found.all_kinds(shown=True)) == pytest.approx(bright, rel=1e-4)
    assert found.ratio(found.all_kinds(shown=False)) == pytest.approx(dark, rel=1e-4)
    both = found.ratio(found.model_copy(update={"shown": ()}).all_kinds(shown=False))
    squares, bars = found.kinds["square"].images, found.kinds["bar"].images
    assert both == pytest.approx((squares * bright + bars * dark) / (squares + bars), rel=1e-4)


def test_the_mean_tile_explains_nothing(tmp_path: Path) -> None:
    """Of held-out tiles by definition, of a defect neither; its ratio is that of the variances."""
    root = _two_kinds(tmp_path / "data")
    config = TrainConfig.model_validate(tiny_config(root))
    source = open_source(config.data, config.preprocessing)
    tiles = ContrastTiles.cut(source, source.split(0), config)
    mean = to_model_range(tiles.held_out.tiles).mean(axis=0, dtype=np.float64)
    found = tiles.measure(MadeUpSearcher(mean.astype(np.float32)))
    bar = found.kinds["bar"]
    assert found.held_out.explained == pytest.approx(0, abs=1e-4) == bar.explained
    assert found.ratio(bar) == pytest.approx(bar.variance / found.normal.variance, rel=1e-4)
    assert bar.variance == pytest.approx(np.square(DARK / 127.5 - 1 - mean[:, 4:9]).mean(), rel=1e-4)


def test_held_out_tiles_stand_in_for_normal_test_tiles(tmp_path: Path) -> None:
    """Where no normal image is tested the ratio is over held-out ones, and says so."""
    root = _two_kinds(tmp_path / "data")
    for path in (root / "test" / "good").iterdir():
        path.unlink()
    found = _contrast(root, GREY)
    assert found.normal_is == "held out" and found.normal.images == 48
    assert found.ratio(found.held_out) == 1 and found.all_kinds(shown=False) is None


def test_a_defect_without_a_mask_is_left_out(tmp_path: Path) -> None:
    """Nobody knows where it is: its image does not count, and a kind without any mask is absent."""
    root = _two_kinds(tmp_path / "data")
    for path in (root / "ground_truth" / "bar").iterdir():
        path.unlink()
    found = _contrast(root, GREY)
    assert found.kinds.keys() == {"square"} and found.known_abnormal is not None
    assert found.known_abnormal.images == 4
