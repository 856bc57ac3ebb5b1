"""report.md of a run leads to the right next step."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from latentline.base.strict_yaml import parse
from tests.trainer.folder import tiny_config
from trainer.config import TrainConfig
from trainer.data.split import Split
from trainer.run.report import RunFacts, write_run_report

SPLIT = Split(("a",), ("b",), (), (), ("c",), {"square": ("d",)})


def _report(run: Path, images: int = 100, shortage: str | None = None) -> str:
    run.mkdir()
    config = parse(tiny_config(run / "data"), TrainConfig, "the test")
    write_run_report(run, config, SPLIT, RunFacts(images, 100, 4.0, "cpu", 1), [], shortage)
    return (run / "report.md").read_text()


def _commands(report: str) -> list[list[str]]:
    return [shlex.split(line) for line in report.splitlines() if line.startswith("    latentline-")]


def test_the_next_commands_can_be_pasted(tmp_path: Path) -> None:
    """Also where the folder has a space or a quote; the evaluation lies where `compare` looks for it."""
    run = tmp_path / "line 2's run"
    assert _commands(_report(run)) == [
        ["latentline-train", "evaluate", str(run)],
        ["latentline-export", "package", str(run), f"{run}-model.zip"],
    ]


def test_an_unfinished_run_is_resumed(tmp_path: Path) -> None:
    """The command continues it."""
    run = tmp_path / "my run"
    assert _commands(_report(run, images=50)) == [
        ["latentline-train", "fit", str(run / "config.yaml"), str(run), "--resume"]
    ]


@pytest.mark.parametrize("images", [50, 100])
def test_a_run_that_cannot_be_calibrated_leads_nowhere(tmp_path: Path, images: int) -> None:
    """No command is named that would refuse the run."""
    report = _report(tmp_path / "run", images, "10 are too few")
    assert _commands(report) == [] and "would refuse this one" in report
