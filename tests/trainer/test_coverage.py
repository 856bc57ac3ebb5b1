"""Coverage is measured on held-out tiles, by components of training tiles, the same in every command."""

import logging
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from latentline.scoring.coverage import explained_share
from latentline.search.searcher import SearchResult
from latentline.vision.preprocessing import to_model_range
from latentline.vision.tiles import TilePlan
from tests.trainer.folder import tiny_config, write_folder
from trainer.config import TrainConfig
from trainer.coverage import FEWEST_SEARCHED, CoverageMeter
from trainer.data.sources import open_source


class CountingSearcher:
    """Every tile is reconstructed by itself, and counted."""

    name = "counting"

    def __init__(self) -> None:
        self.searched = 0

    def search(self, tiles: np.ndarray) -> SearchResult:
        self.searched += len(tiles)
        return SearchResult(z=np.zeros((len(tiles), 2), np.float32), reconstruction=to_model_range(tiles))

    def close(self) -> None:
        """Nothing to release."""


def _config(root: Path, **network: Any) -> TrainConfig:
    given = tiny_config(root)
    return TrainConfig.model_validate({**given, "network": {**given["network"], **network}})


def _meter(config: TrainConfig) -> CoverageMeter:
    source = open_source(config.data, config.preprocessing)
    return CoverageMeter(source, source.split(config.schedule.seed), config)


def test_tiles_are_those_that_calibration_cuts_of_held_out_images(tmp_path: Path) -> None:
    """Every tile of every held-out image, each once; none of a training image."""
    config = _config(write_folder(tmp_path / "data"))
    source = open_source(config.data, config.preprocessing)
    cut = [
        tile.tobytes()
        for name in source.split(config.schedule.seed).held_out
        for tile in TilePlan.cover(48, 48, 32, config.search.overlap).cut(source.read(name)[..., None])
    ]
    assert sorted(tile.tobytes() for tile in _meter(config).tiles) == sorted(cut)


def test_the_figures_are_those_of_the_definition(tmp_path: Path) -> None:
    """A copy explains all; the components explain nearly all of striped images; the same seed repeats all figures."""
    config = _config(write_folder(tmp_path / "data"))
    meter, again = _meter(config), _meter(config)
    x = to_model_range(meter.tiles)
    assert np.array_equal(meter.tiles, again.tiles)
    measured = meter.measure(x)
    assert measured is not None and measured.explained == 1 and 0.9 < measured.pca < 1
    assert (measured.tiles, measured.components) == (len(x), 8)
    assert measured == again.measure(x)
    half = meter.measure((x / 2).astype(np.float32)[:10])
    assert half is not None and half.tiles == 10 and half.explained < 1


def test_a_long_search_is_measured_on_fewer_tiles(tmp_path: Path) -> None:
    """Both figures are then of these tiles; without iterations every tile counts."""
    meter = _meter(_config(write_folder(tmp_path / "data", train=48)))
    assert len(meter.tiles) > FEWEST_SEARCHED
    for iterations, expected in ((0, len(meter.tiles)), (10_000, FEWEST_SEARCHED)):
        searcher = CountingSearcher()
        measured = meter.measure_search(searcher, iterations)
        assert measured is not None and searcher.searched == measured.tiles == expected


def test_large_images_are_not_one_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where tiles are many, every image gives some, and no more are kept than the limit."""
    monkeypatch.setattr("trainer.coverage.MAX_HELD_OUT_TILES", 24)
    monkeypatch.setattr("trainer.coverage.PER_HELD_OUT_IMAGE", 2)
    config = _config(write_folder(tmp_path / "data", train=24, side=128))
    source = open_source(config.data, config.preprocessing)
    of_image = [
        {tile.tobytes() for tile in TilePlan.cover(128, 128, 32, config.search.overlap).cut(source.read(n)[..., None])}
        for n in source.split(config.schedule.seed).held_out
    ]
    tiles = _meter(config).tiles
    assert len(tiles) == 24
    assert [sum(t.tobytes() in image for t in tiles) for image in of_image] == [2] * 12


def test_constant_images_are_one_sentence(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """No division by zero: there is nothing to explain, and the log says what to check."""
    root = write_folder(tmp_path / "data")
    for path in (root / "train" / "good").iterdir():
        assert cv2.imwrite(str(path), np.full((48, 48), 90, np.uint8))
    meter = _meter(_config(root))
    assert meter.measure(to_model_range(meter.tiles)) is None
    with caplog.at_level(logging.WARNING):
        assert meter.measure_search(CountingSearcher(), 0) is None
    assert caplog.messages == [meter.problem] and "constant images" in caplog.messages[0]


def test_fewer_tiles_than_the_latent_size_are_one_sentence(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The components that the tiles have are taken, and the log says how many these are."""
    meter = _meter(_config(write_folder(tmp_path / "data", train=10, side=32), latent_size=64))
    (sentence,) = caplog.messages
    assert sentence.startswith("5 different training tiles have only 4 principal components, fewer than network.latent")
    measured = meter.measure(to_model_range(meter.tiles))
    assert measured is not None and measured.components == 4


def test_broken_images_are_left_out(tmp_path: Path) -> None:
    """The training has named them and gone on; so does the measurement."""
    config = _config(write_folder(tmp_path / "data"))
    source = open_source(config.data, config.preprocessing)
    split = source.split(config.schedule.seed)
    whole = CoverageMeter(source, split, config)
    for name in (split.train[0], split.held_out[0]):
        (config.data.root / name).write_bytes(b"no image")
    left = CoverageMeter(source, split, config)
    assert len(left.tiles) == len(whole.tiles) - 4
    for names in ((), split.held_out):
        nothing = CoverageMeter(source, type(split)((), names, (), (), (), {}), config)
        assert nothing.problem is not None and nothing.measure(to_model_range(nothing.tiles)) is None


def test_the_mean_is_that_of_training_tiles(tmp_path: Path) -> None:
    """Held-out images darker than the training's: their own mean explains something, the training's nothing."""
    root = write_folder(tmp_path / "data")
    config = _config(root)
    source = open_source(config.data, config.preprocessing)
    split = source.split(config.schedule.seed)
    for name in split.held_out:
        path = config.data.root / name
        assert cv2.imwrite(str(path), source.read(name) // 2)
    meter = CoverageMeter(source, split, config)
    x = to_model_range(meter.tiles)
    own = np.broadcast_to(x.mean(axis=0), x.shape)
    measured = meter.measure(np.ascontiguousarray(own))
    assert measured is not None and measured.explained > 0.3
    assert explained_share(x, own, x.mean(axis=0).ravel()) == pytest.approx(0, abs=1e-6)
