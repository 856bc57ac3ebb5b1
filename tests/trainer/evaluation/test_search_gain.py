"""The report says what a search gave, or what a search would have given."""

import json
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from sklearn.metrics import roc_auc_score

from latentline.scoring.search_choice import Gain, SearchCandidate, SearchChoice, SearchTrial
from tests.trainer.folder import tiny_config, write_folder
from tests.trainer.inspectors import brightness_inspector
from trainer.cli import main
from trainer.data.folders import FolderSource
from trainer.data.settings import FolderData
from trainer.evaluation import choose_search
from trainer.evaluation.accumulator import EvaluationAccumulator, Subject
from trainer.evaluation.compare import compare
from trainer.evaluation.evaluate import evaluate
from trainer.evaluation.report import read_results
from trainer.evaluation.without_search import search_gain

pytestmark = pytest.mark.usefixtures("undrawn")


def _accumulator(noise: float, seconds: float, mask: bool = True) -> EvaluationAccumulator:
    """Twenty normal and twenty abnormal images with a brighter square, under noise of this evaluation's own."""
    rng, own = np.random.default_rng(1), np.random.default_rng(int(10 * noise))
    found = EvaluationAccumulator(Subject("a", "none", "cpu"), seconds=seconds)
    for index in range(40):
        frame, square = rng.integers(0, 256, (8, 8)).astype(np.uint8), np.zeros((8, 8), np.bool_)
        square[2:4, 2:4] = index >= 20
        plane = (square + own.normal(0, noise, (8, 8))).astype(np.float32)
        kind = "dent" if index >= 20 else "good"
        found.add(f"{index}", kind, f"{index}", frame, float(plane.max()), {}, plane, square if mask else None)
    return found


def test_the_gain_is_the_difference_of_the_figures_on_the_same_images() -> None:
    """Image and pixel AUROC against scikit-learn, with intervals; seconds are per image."""
    searched, without = _accumulator(0.3, 40.0), _accumulator(1.0, 4.0)
    gain = search_gain(searched, without)

    def image(found: EvaluationAccumulator) -> float:
        scores = found.scores()
        return float(roc_auc_score(np.repeat([0, 1], 20), np.r_[scores.of("good"), scores.of("dent")]))

    assert gain.image_auroc is not None and gain.pixel_auroc is not None
    assert gain.image_auroc.value == pytest.approx(image(searched) - image(without))
    reports = searched.report(), without.report()
    assert reports[0].pixel_auroc is not None and reports[1].pixel_auroc is not None
    assert gain.pixel_auroc.value == pytest.approx(reports[0].pixel_auroc.value - reports[1].pixel_auroc.value)
    assert gain.pixel_auroc.low is not None and gain.pixel_auroc.low > 0
    assert (gain.seconds_with, gain.seconds_without) == (1.0, 0.1)
    assert gain.rows()["what the search gave, seconds per image"] == "1 instead of 0.1"


def test_a_search_that_changes_nothing_gives_nothing() -> None:
    """The interval is zero, because both sides draw the same images; without masks there is no row of pixels."""
    gain = search_gain(_accumulator(1.0, 1.0, mask=False), _accumulator(1.0, 1.0, mask=False))
    assert gain.rows()["what the search gave, image AUROC"] == "+0.000 [+0.000, +0.000]"
    assert gain.pixel_auroc is None and "what the search gave, pixel AUROC" not in gain.rows()


def test_evaluate_inspects_the_same_images_again(tmp_path: Path) -> None:
    """Two inspectors that are alike: no gain; the report and its file have the rows."""
    source = FolderSource(FolderData(root=write_folder(tmp_path / "data"), held_out_fraction=0.5))
    subject = Subject("brightness", "none", "brightness", iterations=10)
    again = brightness_inspector()
    report = evaluate(brightness_inspector(), subject, source, source.split(0), tmp_path / "out", again)
    assert report.search_gain is not None and report.search_gain.image_auroc is not None
    assert report.search_gain.image_auroc.signed == "+0.000 [+0.000, +0.000]"
    assert "| what the search gave, pixel AUROC | +0.000 [+0.000, +0.000] |" in report.to_markdown()
    assert read_results(tmp_path / "out")[0] == report
    finished = [number for step, number in again.reconstructor.order if step == "finish"]  # type: ignore[attr-defined]
    assert finished == list(range(16))


CHOICE = SearchChoice(
    chosen=SearchCandidate(iterations=0),
    trials=(
        SearchTrial(
            candidate=SearchCandidate(iterations=0),
            image_auroc=0.9,
            milliseconds=1,
            image_gain=Gain(value=0, low=0, high=0),
        ),
        SearchTrial(
            candidate=SearchCandidate(iterations=30),
            image_auroc=0.902,
            milliseconds=13.3,
            image_gain=Gain(value=0.002, low=-0.004, high=0.008),
        ),
    ),
    normals=48,
    abnormals=0,
    synthetic=60,
)


def test_the_gain_that_was_forgone_is_a_row_and_compare_shows_it(tmp_path: Path) -> None:
    """Beside it a run whose search was measured, and a report from before there was either, which has dashes."""
    searched, chosen, older = (_accumulator(1.0, 1.0) for _ in range(3))
    chosen.subject = replace(chosen.subject, choice=CHOICE)
    with_gain = searched.report().model_copy(update={"search_gain": search_gain(searched, older)})
    reports = {"searched": with_gain, "chosen": chosen.report(), "older": older.report()}
    for name, report in reports.items():
        content = json.loads(report.to_json())
        if name == "older":
            del content["search_gain"], content["search_choice"]
        (tmp_path / name).mkdir()
        (tmp_path / name / "report.json").write_text(json.dumps(content))
        (tmp_path / name / "scores.json").write_text(older.scores().model_dump_json())
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in compare([tmp_path / name for name in reports]).to_markdown().splitlines()
    ]
    cells = {row[0]: row[1:] for row in rows}
    sentence = "n = 0; 30 steps gain +0.002 [-0.004, +0.008] image AUROC and cost 12.3 ms a tile"
    frames = "(48 normal and 60 synthetic abnormal validation frames)"
    assert cells["search chosen by auto"] == ["–", f"{sentence} {frames}", "–"]
    assert cells["what the search gave, image AUROC"] == ["+0.000 [+0.000, +0.000]", "–", "–"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny f-AnoGAN whose configuration says auto; its calibration has ten standardising images."""
    folder = tmp_path_factory.mktemp("auto")
    config = tiny_config(write_folder(folder / "data", train=60, side=32), fade_images=8, stable_images=0)
    config |= {"method": {"kind": "f_anogan"}, "search": {"iterations": "auto", "map": "l2"}}
    config["schedule"] |= {"final_images": 16, "encoder_images": 16}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    assert main(["fit", str(folder / "config.yaml"), str(folder / "run")]) == 0
    return folder / "run"


def test_a_run_with_auto_is_evaluated(
    run: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The report has the table of the choice and its number; the log says it in one sentence."""
    monkeypatch.setattr(choose_search, "MAX_STEPS", 600)
    with caplog.at_level(logging.INFO):
        assert main(["evaluate", str(run), "--false-alarm-rate", "0.1"]) == 0
    report = read_results(run)[0]
    assert report.search_choice is not None and len(report.search_choice.trials) == 4
    assert report.iterations == report.search_choice.chosen.iterations
    assert f"search: {report.search_choice.sentence} ({report.search_choice.frames})" in caplog.messages
    assert all(trial.pixel_auroc is not None for trial in report.search_choice.trials)
    assert (report.search_gain is None) == (report.iterations == 0)


def test_a_number_replaces_auto_and_its_search_is_judged(run: Path, tmp_path: Path) -> None:
    """With `--iterations 2` nothing is chosen, and the rows say what the two steps gave."""
    arguments = ["evaluate", str(run), str(tmp_path / "out"), "--false-alarm-rate", "0.1", "--iterations", "2"]
    assert main(arguments) == 0
    report = read_results(tmp_path / "out")[0]
    assert report.search_choice is None and report.iterations == 2
    assert report.search_gain is not None and report.search_gain.image_auroc is not None
    assert "what the search gave, seconds per image" in report.rows()


def test_no_search_gives_no_rows(run: Path, tmp_path: Path) -> None:
    """`--iterations 0` was asked for: there is nothing to compare, and nothing is inspected twice."""
    arguments = ["evaluate", str(run), str(tmp_path / "out"), "--false-alarm-rate", "0.1", "--iterations", "0"]
    assert main(arguments) == 0
    assert not any("search" in row for row in read_results(tmp_path / "out")[0].rows())
