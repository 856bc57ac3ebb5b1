"""A run can be killed and taken up; its checkpoint is whole and holds no pickle."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from latentline.errors import CheckpointError, ConfigError
from tests.trainer.folder import tiny_config, write_folder
from trainer.checkpoint import load_checkpoint
from trainer.cli import load_config, main
from trainer.fit import fit


def _config(tmp_path: Path, **schedule: object) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(tiny_config(write_folder(tmp_path / "data"), **schedule)))
    return path


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    """Stopped in the middle and resumed, the weights are the same to the bit, and so is the log."""
    config = load_config(_config(tmp_path), None)
    whole = load_checkpoint(fit(config, tmp_path / "whole"))
    fit(config, tmp_path / "parts", stop_after=72)
    assert load_checkpoint(tmp_path / "parts").images == 72
    parts = load_checkpoint(fit(config, tmp_path / "parts", resume=True))
    assert parts.images == whole.images
    for name in ("generator", "discriminator"):
        a, b = getattr(whole, name).state_dict(), getattr(parts, name).state_dict()
        assert all(torch.equal(a[k], b[k]) for k in a)


def test_a_killed_run_leaves_a_checkpoint_that_resumes(tmp_path: Path) -> None:
    """kill -9 after the first checkpoint; `fit --resume` ends the training with exit code 0."""
    config, run = _config(tmp_path, final_images=4000, checkpoint_images=16), tmp_path / "run"
    command = [sys.executable, "-m", "trainer", "--threads", "1", "fit", str(config), str(run)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None
    while not (run / "checkpoint").exists():
        assert process.stderr.read(1), "the training ended before its first checkpoint"
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    killed_at = load_checkpoint(run).images
    resumed = load_config(config, None)
    fit(resumed, run, resume=True, stop_after=killed_at + 16)
    assert load_checkpoint(run).images >= killed_at + 16
    assert {p.name for p in run.iterdir()} >= {"config.yaml", "metrics.jsonl", "losses.png", "samples.png"}


def test_a_run_folder_is_not_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A second `fit` into the same folder is refused with exit code 2 and says how to go on."""
    config = _config(tmp_path, fade_images=1, stable_images=0, final_images=8)
    assert main(["fit", str(config), str(tmp_path / "run")]) == 0
    assert main(["fit", str(config), str(tmp_path / "run")]) == 2
    assert "--resume" in capsys.readouterr().err


def test_resuming_with_another_configuration_is_refused(tmp_path: Path) -> None:
    """Weights of one configuration are not trained on under another."""
    path = _config(tmp_path, fade_images=1, stable_images=0, final_images=8)
    fit(load_config(path, None), tmp_path / "run")
    changed = yaml.safe_load(path.read_text())
    changed["objective"] = {"gamma": 0.9}
    path.write_text(yaml.safe_dump(changed))
    with pytest.raises(ConfigError, match="another configuration"):
        fit(load_config(path, None), tmp_path / "run", resume=True)


@pytest.mark.parametrize("file", ["networks.safetensors", "state.json", "config.yaml"])
@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_a_broken_checkpoint_is_one_sentence(tmp_path: Path, file: str, damage: str) -> None:
    """Cut or missing files are named; nothing is loaded in part."""
    config = load_config(_config(tmp_path, fade_images=1, stable_images=0, final_images=8), None)
    checkpoint = fit(config, tmp_path / "run")
    path = checkpoint / file
    path.write_bytes(path.read_bytes()[:40]) if damage == "cut" else path.unlink()
    with pytest.raises(CheckpointError):
        load_checkpoint(checkpoint)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"objective": {"gama": 0.1}}, "unknown key 'objective.gama'; did you mean 'gamma'?"),
        ({"objective": {"gamma": 0}}, "'objective.gamma'"),
        ({"objective": {"gamma": 1.5}}, "'objective.gamma'"),
        ({"network": {"resolution": 48}}, "power of two"),
        ({"network": {"resolution": 2048}}, "'network.resolution'"),
        ({"network": {"resolution": 1024, "fmap_base": 1024}}, "fewer than 4 feature maps at 1024 px"),
        ({"method": "anogan"}, "method anogan means objective.gamma 1"),
        ({"data": {"root": "x"}}, "gamma below 1 needs known-abnormal images"),
        ({"data": {}}, "'data.root' is missing"),
    ],
)
def test_a_wrong_configuration_is_said_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: dict, sentence: str
) -> None:
    """Exit code 2, the file, the key and what was expected; no traceback."""
    path = tmp_path / "bad.yaml"
    path.write_text(yaml.safe_dump({**tiny_config(tmp_path), **change}))
    assert main(["fit", str(path), str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert sentence in error and str(path) in error and "Traceback" not in error
    assert not (tmp_path / "run").exists()


def test_evaluate_writes_a_report_with_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command prints the table, and leaves report, scores and pictures."""
    config = _config(tmp_path, fade_images=1, stable_images=0, final_images=8)
    assert main(["fit", str(config), str(tmp_path / "run")]) == 0
    out = tmp_path / "report"
    arguments = ["evaluate", str(tmp_path / "run"), str(out), "--iterations", "2", "--false-alarm-rate", "0.5"]
    assert main(arguments) == 2  # 12 held out, a third of them to standardise: 4 are too few
    assert "at least 8 normal images" in capsys.readouterr().err
    write_folder(tmp_path / "data", train=60)
    assert main(["fit", str(config), str(tmp_path / "run2")]) == 0
    assert main(["evaluate", str(tmp_path / "run2"), *arguments[2:]]) == 0
    assert "image AUROC" in capsys.readouterr().out
    assert {"report.json", "report.md", "scores.json"} <= {p.name for p in out.iterdir()}
    assert {"scores.png", "roc.png", "maps.png"} < {p.name for p in out.glob("*.png")}
    assert len(list(out.glob("*.png"))) == 3 + 2 * 2  # plots, and two pictures of each kind
