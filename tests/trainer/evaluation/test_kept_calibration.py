"""A calibration is measured once, and only what the promise rests on is measured again for another searcher."""

import logging
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import yaml

from latentline.errors import DatasetError
from latentline.search.searcher import SearchResult
from tests.trainer.folder import write_folder
from trainer.checkpoint import Checkpoint, load_checkpoint
from trainer.cli import load_config, main
from trainer.data.held_out import HeldOut, read_held_out
from trainer.data.sources import open_source
from trainer.evaluation import kept_calibration
from trainer.evaluation.kept_calibration import CalibrationTask, Measured
from trainer.reference.searcher import ReferenceSearcher
from trainer.run.fit import fit
from trainer.run.survey import tiler_of

pytestmark = pytest.mark.usefixtures("undrawn")


class Counting(ReferenceSearcher):
    """The reference searcher under any name; it notes how many tiles it searches."""

    def __init__(self, checkpoint: Checkpoint, iterations: int, name: str, searched: list[int]) -> None:
        super().__init__(checkpoint, checkpoint.config.search, iterations)
        self.name, self._searched = name, searched

    def search(self, tiles: npt.NDArray[np.uint8]) -> SearchResult:
        """As the reference searches."""
        self._searched.append(len(tiles))
        return super().search(tiles)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of method pca with 32 held-out images."""
    folder = tmp_path_factory.mktemp("trained")
    write_folder(folder / "data", train=64, good=2, defects=2, side=32)
    sections = {
        "method": {"kind": "pca"},
        "network": {"resolution": 32, "latent_size": 4},
        "data": {"root": "data", "held_out_fraction": 0.5},
        "schedule": {"final_images": 100},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(sections))
    fit(load_config(folder / "config.yaml", None), folder / "run")
    return folder / "run"


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A run that nobody has calibrated."""
    return shutil.copytree(trained, tmp_path / "run")


def task(run: Path) -> tuple[CalibrationTask, Checkpoint]:
    """What `evaluate` and `package` have to do."""
    checkpoint = load_checkpoint(run)
    held_out = read_held_out(open_source(checkpoint.config.data, checkpoint.config.preprocessing), checkpoint.split, 0)
    return CalibrationTask(run, checkpoint.config, held_out, "auto", 0.05), checkpoint


def calibrate(given: CalibrationTask, checkpoint: Checkpoint, name: str = "one") -> tuple[Measured, int]:
    """What was measured by the searcher of this name, and how many tiles it searched for that."""
    searched: list[int] = []
    done = given.run(lambda n: Counting(checkpoint, n, name, searched), tiler_of(given.config))
    return done, sum(searched)


def test_who_comes_second_searches_nothing(run: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The same searcher at the same rate gets the very same calibration, and a line says where it is from."""
    given, checkpoint = task(run)
    first, searched = calibrate(given, checkpoint)
    with caplog.at_level(logging.INFO):
        second, again = calibrate(given, checkpoint)
    assert (searched > 0, again) == (True, 0)
    assert second.calibrated.calibration == first.calibrated.calibration
    assert (second.search, second.map_choice, second.config) == (first.search, first.map_choice, first.config)
    assert np.array_equal(second.calibrated.statistics.std, first.calibrated.statistics.std)
    assert np.array_equal(second.calibrated.normal_scores, first.calibrated.normal_scores)
    assert caplog.messages == [
        f"{run / 'calibration'}: map, search and weights of an earlier calibration; --fresh measures again"
    ]


def test_another_searcher_scores_the_frames_behind_its_threshold(run: Path) -> None:
    """Each of the scored frames is searched, and no other; the threshold is that of a calibration of its own."""
    given, checkpoint = task(run)
    first, _ = calibrate(given, checkpoint)
    second, searched = calibrate(given, checkpoint, "another")
    assert searched == len(given.held_out.scored)
    assert second.calibrated.calibration == first.calibrated.calibration  # the same networks under another name


def test_another_rate_has_a_threshold_of_its_own(run: Path) -> None:
    """Weights stay, thresholds fall, and the rate that is promised is the new one; one that needs more is refused."""
    given, checkpoint = task(run)
    first = calibrate(given, checkpoint)[0].calibrated.calibration
    second = calibrate(replace(given, false_alarm_rate=0.2), checkpoint)[0].calibrated.calibration
    assert second.components == first.components and second.threshold < first.threshold
    assert (first.false_alarm_rate, second.false_alarm_rate) == (0.05, 0.2)
    with pytest.raises(DatasetError, match="needs at least 99"):
        calibrate(replace(given, false_alarm_rate=0.01), checkpoint)


def test_another_tail_has_a_threshold_of_its_own(run: Path) -> None:
    """The score stays, and who asks for exact ranks again gets them."""
    given, checkpoint = task(run)
    first = calibrate(given, checkpoint)[0].calibrated.calibration
    second = calibrate(replace(given, tail="smooth"), checkpoint)[0].calibrated.calibration
    assert second.components == first.components and second.threshold != first.threshold
    assert first.promise is not None and second.promise is not None
    assert (first.promise.tail, second.promise.tail) == ("exact", "smooth")


def _dimmer(held_out: HeldOut) -> HeldOut:
    return replace(held_out, standardising=[held_out.standardising[0] // 2, *held_out.standardising[1:]])


@pytest.mark.parametrize("change", ["fresh", "frame", "search", "weights", "damage", "gone"])
def test_whatever_changes_is_measured_again(run: Path, change: str) -> None:
    """Other frames, settings or weights, a damaged file, a deleted folder, and --fresh."""
    given, checkpoint = task(run)
    _, searched = calibrate(given, checkpoint)
    if change == "fresh":
        given = replace(given, fresh=True)
    elif change == "frame":
        given = replace(given, held_out=_dimmer(given.held_out))
    elif change == "search":
        search = given.config.search.model_copy(update={"overlap": 0.3})
        given = replace(given, config=given.config.model_copy(update={"search": search}))
    elif change == "weights":
        with (run / "checkpoint" / "networks.safetensors").open("ab") as file:
            file.write(b" ")
    elif change == "damage":
        (run / "calibration" / "calibration.npz").write_bytes(b"PK")
    else:
        shutil.rmtree(run / "calibration")
    assert calibrate(given, checkpoint)[1] == searched


def test_a_run_that_cannot_be_written_is_calibrated_all_the_same(
    run: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The result is there, and a line says that it is not kept."""

    def full(path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(kept_calibration, "new_folder", full)
    with caplog.at_level(logging.INFO):
        done, _ = calibrate(*task(run))
    assert done.calibrated.calibration.scored_normals == 21
    assert "the calibration is not kept (No space left on device)" in caplog.text


def test_evaluate_uses_and_renews_what_is_kept(run: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It reads what another measured; with --fresh it does not."""
    calibrate(*task(run), "another")
    for options, reads in (([], True), (["--fresh"], False)):
        caplog.clear()
        with caplog.at_level(logging.INFO):
            assert main(["evaluate", str(run), *options]) == 0
        assert ("map, search and weights of an earlier calibration" in caplog.text) == reads
