"""`search.tiles: auto`: few tiles where held-out defects are found as well, and else all."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from export import from_checkpoint
from export.cli import main
from latentline.package.model_package import load_package
from latentline.search.tiler import FrameTiler
from latentline.vision.preprocessing import Preprocessing
from tests.checkpoints import random_checkpoint
from tests.export.test_from_checkpoint import save
from tests.exports import export_once
from tests.latentline.inspection.test_inspector import frames
from tests.trainer.evaluation.test_count_look_misses import Looker, known
from tests.trainer.folder import write_folder
from trainer.config import TrainConfig
from trainer.data.held_out import HeldOut
from trainer.evaluation import choose_tiles
from trainer.evaluation.choose_tiles import with_chosen_tiles
from trainer.evaluation.evaluate_checkpoint import evaluate_checkpoint

TILER = FrameTiler(Preprocessing(), 32, 0.0)  # 12 tiles of a frame of 80 x 100 px


def config(method: str = "anogan", **search: Any) -> TrainConfig:
    """A training file; its map needs no choice."""
    given = {"data": {"root": "images"}, "method": {"kind": method}, "search": {"map": "l2", **search}}
    return TrainConfig.model_validate(given)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """One or two tiles are few for the small frames of a test."""
    monkeypatch.setattr(choose_tiles, "TRIED", (1, 2))


@pytest.mark.usefixtures("few")
def test_the_tile_that_shows_the_defect_is_enough(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look that finds the bright tile makes one search do, if so much may be lost; the log has both figures."""
    monkeypatch.setattr(choose_tiles, "LOSS", 0.2)
    with caplog.at_level(logging.INFO):
        chosen = with_chosen_tiles(config(), Looker(), TILER, known(12))
    assert chosen.search.tiles == chosen.search.chosen_tiles == chosen.search.most_tiles == 1
    assert "search.tiles: 1 of about" in caplog.text and "with all 0.689/" in caplog.text


@pytest.mark.usefixtures("few")
def test_a_blind_look_leaves_all_tiles(caplog: pytest.LogCaptureFixture) -> None:
    """Where the defect is not among the chosen tiles nothing is judged, and nobody is warned of a choice not made."""
    chosen = with_chosen_tiles(config(), Looker(blind=True), TILER, known(12))
    assert chosen.search.tiles == "all" and not caplog.records


@pytest.mark.usefixtures("few")
def test_few_tiles_that_detect_less_are_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loss above 0.01 in both AUROCs together decides for more tiles, and in the end for all."""
    found = {None: (0.9, 0.9), 1: (0.88, 0.9), 2: (0.94, 0.84)}
    judged: list[int | None] = []

    def judge(searcher: object, tiler: FrameTiler, *rest: object) -> object:
        judged.append(tiler.most)
        return choose_tiles._Detects(*found[tiler.most])

    monkeypatch.setattr(choose_tiles, "_judge", judge)
    assert with_chosen_tiles(config(), Looker(), TILER, known(12)).search.tiles == "all"
    assert judged == [None, 1, 2]


@pytest.mark.parametrize(
    ("given", "tiler", "held_out"),
    [
        (config(), TILER, known(12)),
        (config(method="pca"), replace(TILER, tile_size=4), known(12)),
        (config(score="paper"), replace(TILER, tile_size=4), known(12)),
        (config(), replace(TILER, tile_size=4), HeldOut(frames(9), frames(20), [])),
    ],
    ids=["small frames", "no discriminator", "the paper's score", "too few images"],
)
def test_all_tiles_are_searched_where_nothing_can_be_gained_or_told(
    given: TrainConfig, tiler: FrameTiler, held_out: HeldOut, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then nothing is judged."""
    monkeypatch.setattr(choose_tiles, "_judge", lambda *_: pytest.fail("judged"))
    assert with_chosen_tiles(given, Looker(), tiler, held_out).search.tiles == "all"


def test_a_given_number_stays() -> None:
    """Also one that is larger than a frame."""
    given = config(tiles=5)
    assert with_chosen_tiles(given, Looker(), TILER, known(12)) is given
    with pytest.raises(ValueError, match=r"search\.tiles is auto"):
        _ = config().search.chosen_tiles


def test_evaluation_and_package_search_the_same_few_tiles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The package's manifest has the number; the report names it, although it was measured only once."""
    for name, value in {"TRIED": (2,), "LOSS": 2, "MANY_MISSES": 1, "FEWEST_NORMALS": 8}.items():
        monkeypatch.setattr(choose_tiles, name, value)
    monkeypatch.setattr(from_checkpoint, "export_model", export_once)
    root = write_folder(tmp_path / "images", train=48, good=2, defects=2, side=64)
    run = save(random_checkpoint("f_anogan"), root, tmp_path / "run")
    given = ["--false-alarm-rate", "0.1", "--iterations", "0", "--threads", "1"]
    assert main(["package", str(run), str(tmp_path / "package"), *given]) == 0
    assert load_package(tmp_path / "package").manifest.search.tiles == 2
    with caplog.at_level(logging.INFO):
        report = evaluate_checkpoint(run, tmp_path / "evaluation", iterations=0, false_alarm_rate=0.1)
    assert report.tiles == 2 and "an earlier calibration" in caplog.text
    assert "the 2 most suspicious ones" in (tmp_path / "evaluation" / "report.md").read_text()
