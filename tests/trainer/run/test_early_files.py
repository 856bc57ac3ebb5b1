"""What a run folder holds before the first checkpoint that the schedule asks for."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from latentline.errors import TrainingError
from tests.trainer.runs import write_config
from trainer.checkpoint import load_checkpoint
from trainer.cli import load_config
from trainer.loops.gan import GanTraining
from trainer.loops.training import StepReport
from trainer.run import fit as fit_module
from trainer.run.fit import fit
from trainer.run.timer import Timer


def break_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The game fails at this step, as if it were killed."""
    original, made = GanTraining.step, SimpleNamespace(steps=0)

    def step_or_fail(training: GanTraining) -> StepReport:
        made.steps += 1
        if made.steps == step:
            raise TrainingError("killed")
        return original(training)

    monkeypatch.setattr(GanTraining, "step", step_or_fail)


def test_configuration_log_and_metrics_are_there_before_the_first_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that dies early leaves what it was told, what it found and its first record, and can be started again."""
    config, run = load_config(write_config(tmp_path, final_images=160, checkpoint_images=1000), None), tmp_path / "run"
    with monkeypatch.context() as broken:
        break_at(22, broken)
        with pytest.raises(TrainingError, match="there was no checkpoint yet"):
            fit(config, run)
    assert {path.name for path in run.iterdir()} == {"config.yaml", "log.txt", "metrics.jsonl"}
    (first,) = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    assert first["images"] == 160
    fit(config, run, resume=True, stop_after=16)
    assert load_checkpoint(run).images == 16


def test_the_first_checkpoint_comes_by_the_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once its time has come, a checkpoint is saved after the step in work; the next ones wait much longer."""
    config, run = load_config(write_config(tmp_path, checkpoint_images=1000), None), tmp_path / "run"
    monkeypatch.setattr(fit_module, "FIRST_CHECKPOINT_SECONDS", -1.0)
    break_at(4, monkeypatch)
    with pytest.raises(TrainingError, match="the checkpoint of 8 images is kept"):
        fit(config, run)
    assert load_checkpoint(run).images == 8


def test_a_timer_counts_from_its_restart() -> None:
    """It shows what its clock has gone since."""
    now = [5.0]
    timer = Timer(lambda: now[0])
    now[0] = 7.0
    assert timer.seconds == 2.0
    timer.restart()
    assert timer.seconds == 0.0
