"""Evaluations are compared on the same images, or the comparison says that they are not the same."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from latentline.errors import DatasetError
from latentline.scoring.coverage import Coverage
from trainer.cli import main
from trainer.evaluation.accumulator import EvaluationAccumulator, Subject
from trainer.evaluation.compare import compare, difference
from trainer.evaluation.report import write_results

RNG_SEED = 4


def _accumulator(
    name: str, shift: float, noise: float = 0.0, images: range = range(40), seed: int = RNG_SEED
) -> EvaluationAccumulator:
    """Half normal, half abnormal images whose scores lie `shift` apart; noise is this evaluation's own."""
    rng, own = np.random.default_rng(seed), np.random.default_rng(seed + 1)
    accumulator = EvaluationAccumulator(
        Subject(name, "none", "cpu"), threshold=shift, false_alarm_rate=0.05, seconds=1.0
    )
    for index in range(60):
        kind = "good" if index % 2 else "dent"
        frame = rng.integers(0, 256, (8, 8)).astype(np.uint8)
        score = float(rng.normal() + shift * (kind == "dent") + noise * own.normal())
        if index in images:
            accumulator.add(f"{kind}/{index}", kind, str(index), frame, score, {}, np.zeros((8, 8), np.float32), None)
    return accumulator


def _write(place: Path, accumulator: EvaluationAccumulator) -> Path:
    place.mkdir(parents=True)
    write_results(place, accumulator.report(), accumulator.scores())
    return place


def _auroc(accumulator: EvaluationAccumulator) -> float:
    scores = accumulator.scores()
    normal, abnormal = scores.of("good"), scores.of("dent")
    return float(roc_auc_score(np.repeat([0, 1], [len(normal), len(abnormal)]), np.r_[normal, abnormal]))


def test_the_difference_is_that_of_the_aurocs_and_its_interval_knows_the_pairs() -> None:
    """Nearly equal scores of the same images: the paired interval is far narrower than either figure's own."""
    first, second = _accumulator("a", 1.0), _accumulator("b", 1.0, noise=0.05)
    found = difference(first.scores(), second.scores()).value
    own = first.report().image_auroc
    assert found is not None and found.low is not None and found.high is not None
    assert own is not None and own.low is not None and own.high is not None
    assert found.value == pytest.approx(_auroc(second) - _auroc(first))
    assert found.low <= found.value <= found.high and found.high - found.low < 0.3 * (own.high - own.low)


def test_a_clear_gain_is_clear_and_no_gain_is_none() -> None:
    """The interval of a large gain leaves zero out; of an evaluation with itself it is zero."""
    weak, strong = _accumulator("weak", 0.2).scores(), _accumulator("strong", 3.0).scores()
    gain = difference(weak, strong).value
    assert gain is not None and gain.low is not None and gain.low > 0.1
    itself = difference(weak, weak).value
    assert itself is not None and (itself.low, itself.value, itself.high) == (0, 0, 0)


def test_other_images_are_said_to_be_other() -> None:
    """Fewer images, or the same names with other pixels: no difference is given."""
    first = _accumulator("a", 1.0).scores()
    fewer = difference(first, _accumulator("b", 1.0, images=range(10, 40)).scores())
    assert fewer.value is None and str(fewer) == "different test images (30 in common)"
    assert difference(first, _accumulator("c", 1.0, seed=9).scores()).reason == "different test images (0 in common)"


def test_coverage_is_a_row_beside_that_of_principal_components(tmp_path: Path) -> None:
    """An evaluation without it, a baseline's or an older one, has a dash there."""
    with_coverage, without = _accumulator("a", 1.0), _accumulator("b", 2.0)
    with_coverage.subject = replace(
        with_coverage.subject, coverage=Coverage(explained=0.412, pca=0.937, tiles=1000, components=128)
    )
    a, b = _write(tmp_path / "a", with_coverage), _write(tmp_path / "b", without)
    report = json.loads((b / "report.json").read_text())
    del report["coverage"]
    (b / "report.json").write_text(json.dumps(report))
    (row,) = [line for line in compare([a, b]).to_markdown().splitlines() if "explained" in line]
    assert row.endswith("| 0.412; PCA (128 components): 0.937; 1000 tiles | – |")


def test_compare_writes_one_table_and_plots(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Report folders and runs; every column has a name of its own, every figure is in JSON, too."""
    a = _write(tmp_path / "run_a" / "evaluation", _accumulator("a", 1.0))
    b = _write(tmp_path / "b", _accumulator("b", 2.0))
    other = _write(tmp_path / "other", _accumulator("c", 2.0, seed=8))
    out = tmp_path / "out"
    assert main(["compare", str(a.parent), str(b), str(other), "--out", str(out)]) == 0
    table = capsys.readouterr().out
    assert table == (out / "comparison.md").read_text()
    assert "| figure | run_a | b | other |" in table and "different test images" in table.splitlines()[-1]
    assert {p.name for p in out.glob("*.png")} == {"scores.png", "roc.png", "precision_recall.png"}
    assert main(["compare", str(a.parent), str(b), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found == json.loads(compare([a.parent, b]).to_json())
    assert found["differences"]["b"]["value"]["value"] > 0 and set(found["reports"]) == {"run_a", "b"}


def test_places_of_one_name_are_told_apart(tmp_path: Path) -> None:
    """By as much of the path as it takes."""
    places = [_write(tmp_path / run / "evaluation", _accumulator(run, 1.0)) for run in ("one", "two")]
    assert set(compare(places).reports) == {"one/evaluation", "two/evaluation"}


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda place: (place / "scores.json").unlink(), "no evaluation here"),
        (lambda place: (place / "report.json").unlink(), "no evaluation here"),
        (lambda place: (place / "report.json").write_text("{}"), "evaluate again"),
        (lambda place: (place / "scores.json").write_text("{"), "evaluate again"),
    ],
)
def test_what_is_no_evaluation_is_said_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: object, sentence: str
) -> None:
    """Exit code 2, the place, what to do."""
    good, bad = _write(tmp_path / "good", _accumulator("a", 1.0)), _write(tmp_path / "bad", _accumulator("b", 1.0))
    assert callable(damage)
    damage(bad)
    assert main(["compare", str(good), str(bad)]) == 2
    error = capsys.readouterr().err
    assert str(bad) in error and sentence in error and error.count("\n") == 1


def test_a_place_given_twice_is_refused(tmp_path: Path) -> None:
    """It would be compared with itself."""
    place = _write(tmp_path / "a", _accumulator("a", 1.0))
    with pytest.raises(DatasetError, match="given twice"):
        compare([place, tmp_path / "." / "a"])
