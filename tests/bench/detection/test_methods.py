"""bench.detection.methods: one command for a table over seeds and numbers of known defects."""

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from bench.baselines.choice import BaselineChoice, known_abnormal, pooled_input
from bench.baselines.linear_verdict import LinearVerdict
from bench.detection import coverage, methods
from bench.detection.methods import ModelRow
from bench.detection.protocol.seed_tables import DetectorResult, SeedMean, mean_of, seed_tables
from latentline.errors import ConfigError
from tests.bench.baselines.test_peers import STAND_IN
from tests.trainer.folder import tiny_config, write_folder
from trainer.evaluation.accumulator import EvaluationAccumulator, Subject
from trainer.evaluation.intervals import Estimate


@pytest.fixture
def options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> argparse.Namespace:
    """A tiny data set with six known defects, and two baselines: one sees them, one does not."""
    data = write_folder(tmp_path / "data", train=96, good=6, defects=12)
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(tiny_config(data)))
    monkeypatch.setattr(methods, "DATASETS", {"tiny": path})
    choice = BaselineChoice(
        (pooled_input("l2"),), (lambda config: LinearVerdict(STAND_IN, known_abnormal(config), grid=8),)
    )
    monkeypatch.setattr(methods, "all_baselines", lambda: choice)
    given: dict[str, Any] = {"data": data, "out": tmp_path / "out", "dataset": "tiny", "methods": [], "seeds": [0, 1]}
    given |= {"known": None, "images": None, "limit": None, "iterations": None, "workers": 1, "report_only": False}
    given |= {"trunk": None}
    return argparse.Namespace(**given)


def test_baselines_alone_need_no_training(options: argparse.Namespace) -> None:
    """Each seed and each number of known defects has its row, all on the test images of the seed."""
    options.known = [0, 2]
    rows = methods.DetectionTable(options).rows()
    pooled, verdict = "no model: pooled input, squared", "no model: linear verdict, 2 known"
    assert list(rows) == [pooled, verdict]
    assert [[r.known for r in results] for results in rows.values()] == [[0, 0], [2, 2]]
    tested = [[set(result.scores.images) for result in results] for results in rows.values()]
    assert tested[0] == tested[1] and [len(names) for names in tested[0]] == [12, 12] and tested[0][0] != tested[0][1]
    assert not list(options.out.rglob("checkpoint"))


def test_more_known_defects_than_there_are_is_a_sentence(options: argparse.Namespace) -> None:
    """It names the option and how many there are."""
    options.known = [7]
    with pytest.raises(ConfigError, match=r"--known 7: with seed 0 tiny has 6 known-abnormal images"):
        methods.DetectionTable(options)


def test_trainings_are_shared_with_coverage(options: argparse.Namespace) -> None:
    """Without a choice of known defects folder and configuration are the same; with one they are not."""
    table = methods.DetectionTable(options)
    for seed in (0, 1):
        assert table.folder(ModelRow("noisy_anogan", None, seed)) == options.out / f"noisy_anogan-{seed}"
        own = argparse.Namespace(**{**vars(options), "seed": seed})
        shared = coverage.training_config("noisy_anogan", seed, argparse.Namespace(**vars(options), hide_kind=[]))
        assert methods.configuration("noisy_anogan", own) == shared
        assert methods.configuration("noisy_anogan", own, 2) != shared
    assert table.folder(ModelRow("noisy_anogan", 2, 1)) == options.out / "noisy_anogan-known-2-1"


def test_the_command_writes_its_tables(
    options: argparse.Namespace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Peers alone: Markdown and JSON with means over seeds, every seed and the figures of each row."""
    command = ["methods", str(options.data), str(options.out), "--dataset", "tiny", "--methods", "--seeds", "1"]
    monkeypatch.setattr(sys, "argv", command)
    assert methods.main() == 0
    printed = capsys.readouterr().out
    assert printed.strip() == (options.out / "results.md").read_text().strip()
    assert (options.out / "results.json").is_file()
    for column in ("image AUROC", "F1-max", "pixel AUROC", "AUPRO", "false alarms", "detected", "ms an image"):
        assert f"| {column} |" in printed
    assert "| no model: linear verdict, seed 1 | 6 |" in printed


def _evaluation(seed: int, shift: float) -> EvaluationAccumulator:
    accumulator, rng = EvaluationAccumulator(Subject("a", "a", "one thread")), np.random.default_rng(seed)
    frame, flat = np.zeros((2, 2), np.uint8), np.zeros((2, 2), np.float32)
    for index in range(60):
        kind = ("good", "scratch", "dent")[index % 3]
        score = float(rng.normal() + shift * (kind != "good"))
        accumulator.add(str(index), kind, str(index), frame, score, {}, flat, None)
    return accumulator


def _result(seed: int) -> DetectorResult:
    found, reference = _evaluation(seed, 1.5), _evaluation(seed, 0.2)
    return DetectorResult(seed, 3, found.report(), found.scores(), 60.0 * (1 + seed), reference.scores())


def test_a_mean_shows_its_spread_and_its_interval() -> None:
    """The spread is over seeds, the interval over parts; the gain is over the reference on the same images."""
    results = [_result(seed) for seed in range(3)]
    means, each, kinds = (table.rows for table in seed_tables({"a": results}))
    cell, values = means["a"]["image AUROC"], [r.report.image_auroc for r in results]
    assert isinstance(cell, SeedMean) and cell.low is not None and cell.high is not None
    exact = np.array([v.value for v in values if v is not None])
    assert cell.value == pytest.approx(exact.mean()) and cell.spread == pytest.approx(exact.std(ddof=1))
    assert cell.low < cell.value < cell.high and f"± {cell.spread:.3f} [" in str(cell)
    assert means["a"]["training, min"] == pytest.approx(2) and means["a"]["pixel AUROC"] is None
    gain = means["a"]["gain on pooled input, squared"]
    assert isinstance(gain, Estimate) and gain.low is not None and gain.low > 0
    assert list(each) == ["a, seed 0", "a, seed 1", "a, seed 2"] and set(kinds["a"]) == {"AUROC dent", "AUROC scratch"}


def test_a_single_seed_has_no_spread() -> None:
    """Nor has a figure that no seed has a mean."""
    assert str(mean_of([Estimate(value=0.5, low=0.1, high=0.9)])) == "0.500"
    assert mean_of([None, None]) is None


def test_rows_that_train_alike_share_one_training(options: argparse.Namespace) -> None:
    """No training sees a trunk, and PCA sees no known defect either; Noisy-AnoGAN is shown them."""
    rows = {method: ModelRow(method, 2, 1, "efficientnet_lite0") for method in ("pca", "noisy_anogan")}
    assert rows["pca"].trained == ModelRow("pca", None, 1)
    assert rows["noisy_anogan"].trained == ModelRow("noisy_anogan", 2, 1)
    table = methods.DetectionTable(options)
    assert table.folder(rows["pca"]) == options.out / "pca-efficientnet_lite0-known-2-1"
