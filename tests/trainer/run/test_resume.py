"""A run that was stopped, killed or broken off continues as if nothing had happened."""

import json
import os
import random
import signal
from pathlib import Path

import pytest
import yaml

from latentline.errors import CheckpointError, ConfigError, TrainingError
from tests import warm
from tests.trainer.folder import tiny_config, write_folder
from tests.trainer.run.stopped import fit_on_a_full_disk, fit_signalled
from tests.trainer.runs import all_tensors, assert_same, write_config
from trainer.checkpoint import load_checkpoint
from trainer.cli import load_config, main
from trainer.run.fit import fit
from trainer.run.history import read_history

pytestmark = pytest.mark.usefixtures("undrawn")


def run_signalled(errors: Path, number: signal.Signals, step: int, training: str, *arguments: str) -> int | None:
    """Exit code of a `fit` that is sent a signal before that step, in a process of its own: never in the tests' own,
    whose libraries may have spoilt the stack that signals are delivered on."""
    return warm.run(fit_signalled, number, step, training, ["--threads", "1", *arguments], errors=errors)


def test_a_run_killed_at_any_step_ends_as_an_uninterrupted_one(tmp_path: Path) -> None:
    """SIGKILL before a random step of game, encoder or fine-tuning: each tensor and the log are the same to the bit."""
    path, run = (
        write_config(tmp_path, discriminator_images=64, encoder_images=96, checkpoint_images=100),
        tmp_path / "killed",
    )
    finetune_generator = random.Random(os.urandom(8)).random() < 0.5
    path.write_text(
        yaml.safe_dump(
            {
                **yaml.safe_load(path.read_text()),
                "method": {"kind": "noisy_anogan", "finetune_generator": finetune_generator},
            }
        )
    )
    fit(load_config(path, None), tmp_path / "whole")
    step = random.Random(os.urandom(8)).randint(1, 37)  # of 38
    code = run_signalled(errors := tmp_path / "errors", signal.SIGKILL, step, "phases", "fit", str(path), str(run))
    assert code == -signal.SIGKILL, (step, errors.read_text())
    assert main(["--threads", "1", "fit", str(path), str(run), "--resume"]) == 0
    assert_same(all_tensors(tmp_path / "whole"), all_tensors(run))
    logs = [(folder / "metrics.jsonl").read_text() for folder in (tmp_path / "whole", run)]
    assert logs[0] == logs[1], f"killed before step {step}, finetune_generator {finetune_generator}"


def test_a_finished_analysis_of_principal_components_is_not_repeated(tmp_path: Path) -> None:
    """A resume of method pca, which has one step, changes neither tensors nor log."""
    content = {**tiny_config(write_folder(tmp_path / "data")), "method": {"kind": "pca"}, "search": {"iterations": 0}}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(content))
    config, run = load_config(tmp_path / "config.yaml", None), tmp_path / "run"
    fit(config, run)
    tensors, log = all_tensors(run), (run / "metrics.jsonl").read_text()
    fit(config, run, resume=True)
    assert_same(tensors, all_tensors(run))
    assert (run / "metrics.jsonl").read_text() == log and log.count("\n") == 1
    assert load_checkpoint(run).images == config.schedule.final_images


def test_an_encoder_is_in_the_checkpoint_only_when_it_is_trained(tmp_path: Path) -> None:
    """Half trained, it is kept for the resume, but nobody can take it for a trained one."""
    config = load_config(write_config(tmp_path, encoder_images=48), None)
    fit(config, tmp_path / "run", stop_after=144 + 24)
    half = load_checkpoint(tmp_path / "run")
    assert half.encoder is None and half.images == 144 + 24
    assert any(k.startswith("optimizer.safetensors unfinished.encoder.") for k in all_tensors(tmp_path / "run"))
    assert load_checkpoint(fit(config, tmp_path / "run", resume=True)).encoder is not None
    assert "unfinished" not in " ".join(all_tensors(tmp_path / "run"))


def test_an_encoder_is_finished_when_batches_do_not_divide_the_schedule(tmp_path: Path) -> None:
    """The GAN's last batch shows more than was asked; the encoder still gets all of its own, also after a resume."""
    config = load_config(write_config(tmp_path, final_images=45, encoder_images=49), None)
    fit(config, tmp_path / "run", stop_after=141 + 48)
    assert load_checkpoint(tmp_path / "run").encoder is None
    assert load_checkpoint(fit(config, tmp_path / "run", resume=True)).encoder is not None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_a_checkpoint_and_a_sentence(tmp_path: Path, number: signal.Signals) -> None:
    """The step in work is finished and kept; the exit code says which signal."""
    path, run = write_config(tmp_path), tmp_path / "run"
    code = run_signalled(tmp_path / "errors", number, 2, "gan", "fit", str(path), str(run))
    errors = (tmp_path / "errors").read_text()
    assert code == 128 + number, errors
    sentence = f"stopped by {number.name}; the checkpoint of 24 images is kept in {run / 'checkpoint'}"
    assert sentence in errors and "continue with --resume" in errors
    assert load_checkpoint(run).images == 24


def test_a_crash_between_two_renames_loses_no_checkpoint(tmp_path: Path) -> None:
    """The checkpoint that was set aside when the process died is taken up; remains are removed."""
    path, run = write_config(tmp_path), tmp_path / "run"
    fit(load_config(path, None), run, stop_after=72)
    (run / "checkpoint").rename(run / ".checkpoint.4711.old")
    (run / ".checkpoint.4711.tmp").mkdir()
    fit(load_config(path, None), run, resume=True, stop_after=80)
    assert load_checkpoint(run).images == 80
    assert [p.name for p in run.iterdir() if p.name.startswith(".")] == []


def test_resuming_with_another_configuration_names_every_difference(tmp_path: Path) -> None:
    """Weights of one configuration are not trained on under another; keys and both values are named."""
    path = write_config(tmp_path, fade_images=1, stable_images=0, final_images=8)
    fit(load_config(path, None), tmp_path / "run")
    changed = yaml.safe_load(path.read_text())
    changed["method"] = {"kind": "noisy_anogan", "gamma": 0.9}
    changed["schedule"]["batch"] = 4
    path.write_text(yaml.safe_dump(changed))
    with pytest.raises(ConfigError, match=r"method\.gamma was 0\.1, is 0\.9; schedule\.batch was 8, is 4; use"):
        fit(load_config(path, None), tmp_path / "run", resume=True)


def test_images_may_move_when_the_user_says_so(tmp_path: Path) -> None:
    """--data with the same images elsewhere goes on; other images are refused, and so is a silent move."""
    path, run = write_config(tmp_path), tmp_path / "run"
    fit(load_config(path, None), run, stop_after=24)
    (tmp_path / "data").rename(tmp_path / "moved")
    content = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump({**content, "data": {**content["data"], "root": str(tmp_path / "moved")}}))
    with pytest.raises(ConfigError, match=r"data\.root was '.*/data', is '.*/moved'"):
        fit(load_config(path, None), run, resume=True)
    config = load_config(path, tmp_path / "moved")
    fit(config, run, resume=True, stop_after=32, data_moved=True)
    assert load_checkpoint(run).images == 32
    write_folder(tmp_path / "moved", train=30)
    with pytest.raises(CheckpointError, match="no longer those"):
        fit(config, run, resume=True, data_moved=True)


def test_a_loss_that_is_not_finite_ends_the_run_and_keeps_the_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sentence names the step and the checkpoint, which is as it was."""
    config, run = load_config(write_config(tmp_path, checkpoint_images=24), None), tmp_path / "run"
    fit(config, run, stop_after=24)
    before = all_tensors(run)
    monkeypatch.setattr("trainer.loops.gan.generator_loss", lambda logit, gamma: logit.mean() * float("nan"))
    with pytest.raises(TrainingError, match=r"step 4 \(after 24 images\).*not finite.*checkpoint of 24 images is kept"):
        fit(config, run, resume=True)
    assert_same(before, all_tensors(run))


def test_a_full_disk_keeps_the_checkpoint_before(tmp_path: Path) -> None:
    """Under a limit that a checkpoint exceeds (the kernel's own refusal): exit code 1, one sentence, no remains."""
    path, run = write_config(tmp_path, checkpoint_images=24, final_images=4000), tmp_path / "run"
    fit(load_config(path, None), run, stop_after=24)
    before = all_tensors(run)
    arguments = ["--threads", "1", "fit", str(path), str(run), "--resume"]
    assert warm.run(fit_on_a_full_disk, arguments, errors=tmp_path / "errors") == 1
    errors = (tmp_path / "errors").read_text()
    assert "Traceback" not in errors
    assert "cannot be written" in errors and "the checkpoint of 24 images is kept" in errors
    assert_same(before, all_tensors(run))
    assert [p.name for p in run.iterdir() if p.name.startswith(".")] == []


@pytest.mark.parametrize("finetune_generator", [False, True])
def test_a_resumed_run_keeps_and_repeats_its_coverage(tmp_path: Path, finetune_generator: bool) -> None:
    """Measured from the encoder's first checkpoint on; the figures are those of an uninterrupted run."""
    path = write_config(tmp_path, encoder_images=160, checkpoint_images=80, final_images=64)
    method = {"kind": "noisy_anogan", "finetune_generator": finetune_generator}
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), "method": method}))
    config = load_config(path, None)
    fit(config, tmp_path / "whole")
    fit(config, tmp_path / "broken", stop_after=240)
    fit(config, tmp_path / "broken", resume=True)
    whole, broken = (read_history(tmp_path / name / "metrics.jsonl", 10**9) for name in ("whole", "broken"))
    measured = [record.coverage for record in whole]
    assert measured == [record.coverage for record in broken]
    assert [coverage and coverage.progress for coverage in measured] == [0.5, 1]


def test_a_run_from_before_coverage_continues(tmp_path: Path) -> None:
    """Its metrics.jsonl has no such field, and its checkpoint no such entry."""
    config, run = load_config(write_config(tmp_path, encoder_images=160), None), tmp_path / "run"
    fit(config, run, stop_after=240)
    for file in (run / "metrics.jsonl", run / "checkpoint" / "state.json"):
        entries = [json.loads(line) for line in file.read_text().splitlines()]
        for entry in entries:
            entry.pop("coverage", None)
            entry.get("run", {}).pop("coverage_problem", None)
        file.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    fit(config, run, resume=True)
    assert read_history(run / "metrics.jsonl", 10**9)[-1].coverage is not None
