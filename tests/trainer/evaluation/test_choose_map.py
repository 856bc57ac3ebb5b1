"""`search.map: auto` takes the kind of map that tells defects from normal frames best, and says why."""

import logging
from typing import Any

import numpy as np
import pytest

from latentline.scoring.map_choice import MapChoice
from latentline.search.searcher import SearchResult
from latentline.search.tiler import FrameTiler
from latentline.vision.preprocessing import Preprocessing
from trainer.config import TrainConfig
from trainer.data.held_out import HeldOut
from trainer.evaluation.calibrate_held_out import calibrate_held_out
from trainer.evaluation.choose_map import KINDS, with_chosen_map

SIZE = 32
TILER = FrameTiler(Preprocessing(), SIZE, 0.25)
ROWS = np.indices((SIZE, SIZE))[0]


class StripesSearcher:
    """Every tile is reconstructed as stripes of 4 px; it counts its tiles."""

    name = "stripes"

    def __init__(self) -> None:
        self.tiles = 0

    def search(self, tiles: np.ndarray) -> SearchResult:
        self.tiles += len(tiles)
        stripes = np.where(ROWS % 4 < 2, 0.5, -0.5).astype(np.float32)
        shape = (len(tiles), 1, SIZE, SIZE)
        return SearchResult(z=np.zeros((len(tiles), 1), np.float32), reconstruction=np.broadcast_to(stripes, shape))

    def close(self) -> None:
        """Nothing to release."""


def _striped(seed: int, gain: float, defect: bool) -> np.ndarray:
    """Stripes of random brightness; a defect has no stripes in the middle, at the same mean grey level."""
    rng = np.random.default_rng(seed)
    stripes = np.where(ROWS % 4 < 2, 1.0, -1.0)
    if defect:
        stripes[10:24, 8:24] = 0.0
    grey = 128 + rng.uniform(-gain, gain) + 40 * stripes + rng.normal(0, 4, stripes.shape)
    return np.clip(grey, 0, 255).astype(np.uint8)[..., None]


def _held_out(gain: float) -> HeldOut:
    """Normal frames and known-abnormal ones with masks, enough that none is made."""
    mask = np.zeros((SIZE, SIZE), np.bool_)
    mask[10:24, 8:24] = True
    normal = [_striped(i, gain, defect=False) for i in range(50)]
    abnormal = [_striped(100 + i, gain, defect=True) for i in range(30)]
    return HeldOut(normal[:30], normal[30:], abnormal, masks=[mask] * 30)


def _config(**search: Any) -> TrainConfig:
    sections = {"data": {"root": "images"}, "method": {"kind": "pca"}, "network": {"resolution": SIZE}}
    return TrainConfig.model_validate({**sections, "search": {"iterations": 0, **search}})


def test_structure_decides_where_brightness_wanders(caplog: pytest.LogCaptureFixture) -> None:
    """Where normal frames differ in brightness, a defect in the structure shows in ssim, and the log says so."""
    with caplog.at_level(logging.INFO):
        config, choice = with_chosen_map(_config(), StripesSearcher(), 0, TILER, _held_out(gain=60))
    assert config.search.map_kind == "ssim" and choice is not None
    assert {trial.map for trial in choice.trials} == set(KINDS)
    assert [t.merit for t in choice.trials] == sorted((t.merit for t in choice.trials), reverse=True)
    assert (choice.normals, choice.abnormals, choice.synthetic) == (30, 30, 0)
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith("anomaly map: ssim ") and "30 normal and 30 abnormal validation frames" in line


def test_the_calibration_is_of_the_chosen_map() -> None:
    """Statistics, components and the recorded choice are all of one kind; the choice survives JSON."""
    held_out = _held_out(gain=60)
    config, choice = with_chosen_map(_config(), StripesSearcher(), 0, TILER, held_out)
    calibrated = calibrate_held_out(StripesSearcher(), TILER, config, held_out, 0.1)
    assert choice is not None and choice.trials[0].map == calibrated.statistics.kind
    assert all(c.name.startswith(calibrated.statistics.kind) for c in calibrated.calibration.components)
    assert MapChoice.model_validate_json(choice.model_dump_json()) == choice


def test_nothing_is_calibrated_before_a_map_is_chosen() -> None:
    """`auto` is no kind of map."""
    with pytest.raises(ValueError, match=r"search\.map is auto"):
        calibrate_held_out(StripesSearcher(), TILER, _config(), _held_out(gain=60), 0.1)


@pytest.mark.parametrize(("iterations", "most"), [(0, 60), (999, 40), (9_999, 4)])
def test_a_long_search_is_tried_on_fewer_tiles(iterations: int, most: int) -> None:
    """At most 40,000 steps are spent, whatever the search costs a tile."""
    searcher = StripesSearcher()
    with_chosen_map(_config(), searcher, iterations, TILER, _held_out(gain=60))
    assert 2 <= searcher.tiles <= most


@pytest.mark.parametrize("search", [{"map": "l1"}, {"map": "residual"}])
def test_a_given_map_is_not_measured(search: dict[str, Any]) -> None:
    """No tile is searched, and nothing is recorded."""
    searcher = StripesSearcher()
    config = _config(**search)
    assert with_chosen_map(config, searcher, 0, TILER, _held_out(0)) == (config, None)
    assert not searcher.tiles
