"""The rule of the choice, and a whole choice on a small folder."""

import json
import logging
import signal
from pathlib import Path
from typing import Any

import pytest
import yaml

from latentline.errors import BackendError, DatasetError, DivergenceError, StoppedError
from tests.trainer.choose.trials import trial_of
from tests.trainer.folder import write_folder
from trainer.choose import candidates, course
from trainer.choose import choose as choosing
from trainer.choose import trial as trials
from trainer.choose.candidates import Candidate, recipe
from trainer.choose.choice import chosen_trial
from trainer.choose.trial import Trial, run_trial
from trainer.cli import load_config, main

pytestmark = pytest.mark.usefixtures("undrawn")


def test_the_best_wins_unless_another_is_as_good_and_twice_as_fast() -> None:
    """As good means within 0.01 of image plus pixel AUROC."""
    best = trial_of("noisy_anogan", 0.95, 0.95, 0.04)
    assert chosen_trial([best, trial_of("pca", 0.93, 0.95, 0.001)]) is best
    assert chosen_trial([best, trial_of("autoencoder_l2", 0.945, 0.95, 0.03)]) is best
    faster = trial_of("pca", 0.945, 0.95, 0.02)
    assert chosen_trial([best, faster]) is faster


def _run_trial(candidate: Candidate, out: Path, seconds: float, tiles: int, device: str) -> Trial:
    if candidate.method == "autoencoder_ssim":
        raise DatasetError("these images are not for it")
    if candidate.method == "noisy_anogan":
        raise DivergenceError("its loss is not finite")
    return run_trial(candidate, out, 0, tiles, device)


def _no_trunk(trial: Trial, run: Path, out: Path) -> Trial:
    raise BackendError(f"{trial.name}: no weights in {run} for {out}")


def _short_recipe(method: str) -> dict[str, Any]:
    content = recipe(method)
    if method == "pca":
        content["schedule"]["final_images"] = 400
    return content


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two methods and two that cannot be used, with rehearsals of a moment and a small sample for pca."""
    monkeypatch.setattr(choosing, "METHODS", ("pca", "autoencoder_ssim", "noisy_anogan", "autoencoder_l2"))
    monkeypatch.setattr(candidates, "recipe", _short_recipe)
    monkeypatch.setattr(course, "run_trial", _run_trial)
    monkeypatch.setattr(trials, "REHEARSAL", 32)


@pytest.mark.usefixtures("quick")
def test_a_choice_becomes_a_training_file_that_loads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """A method that cannot be used is left out; a second call reads what is there; other data is refused."""
    write_folder(tmp_path / "data", train=110)
    user = {"name": "mine", "data": {"root": "data"}, "method": {"kind": "noisy_anogan", "synthetic_fraction": 1.0}}
    (tmp_path / "my.yaml").write_text(yaml.safe_dump(user))
    out = tmp_path / "out"
    command = ["choose", str(tmp_path / "my.yaml"), str(out), "--minutes", "20", "--device", "cpu"]
    with caplog.at_level(logging.INFO, logger="trainer"):
        assert main(command) == 0
    printed = capsys.readouterr().out
    assert "pca-48px: image AUROC" in caplog.text and "explains" not in caplog.text
    assert "explains" in (out / "pca-48px" / "log.txt").read_text()
    assert "Recommended: take" in printed and f"fit {out / 'recommended.yaml'}" in printed
    config = load_config(out / "recommended.yaml", None)
    assert "with trunk efficientnet_lite0" in printed
    result = json.loads((out / "choice.json").read_text())
    chosen = result["trials"][0]
    assert config.name == "mine" and config.data.root == tmp_path / "data"
    assert config.preprocessing.height == chosen["height"]
    assert {trial["method"] for trial in result["trials"]} == {"pca", "autoencoder_l2"}
    assert "autoencoder_ssim-48px could not be used: these images are not for it" in printed
    assert "noisy_anogan-48px could not be used: its loss is not finite" in printed
    assert "autoencoder_l2 had" in printed and "give more minutes" in printed
    report = (out / "choice.md").read_text()
    for line in report.splitlines():
        if line.startswith("!["):
            assert (out / line.split("(")[1].rstrip(")")).is_file()

    assert config.trunk.network == chosen["trunk"]
    kept = next(out.glob("*px/trial.json"))
    before = kept.stat().st_mtime_ns
    assert main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == result
    assert kept.stat().st_mtime_ns == before

    (tmp_path / "other.yaml").write_text(yaml.safe_dump({**user, "preprocessing": {"channels": 3}}))
    assert main(["choose", str(tmp_path / "other.yaml"), str(out)]) == 2
    assert "another configuration" in capsys.readouterr().err


def test_a_folder_with_other_things_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One sentence, exit code 2, and nothing is written."""
    write_folder(tmp_path / "data", train=60)
    (tmp_path / "my.yaml").write_text("data: {root: data}\n")
    assert main(["choose", str(tmp_path / "my.yaml"), str(tmp_path / "data")]) == 2
    assert "is not empty and holds no choice" in capsys.readouterr().err
    assert {path.name for path in (tmp_path / "data").iterdir()} == {"train", "test", "ground_truth"}


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("error", [StoppedError(signal.SIGINT, "continue with --resume"), KeyboardInterrupt()])
def test_a_choice_that_a_signal_stops_says_how_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: BaseException
) -> None:
    """The training in work is not kept, so nobody is told to resume it: the same command goes on."""

    def stopped(candidate: Candidate, out: Path, seconds: float, tiles: int, device: str) -> Trial:
        raise error

    monkeypatch.setattr(course, "run_trial", stopped)
    write_folder(tmp_path / "data", train=60)
    (tmp_path / "my.yaml").write_text("data: {root: data}\n")
    assert main(["choose", str(tmp_path / "my.yaml"), str(tmp_path / "out"), "--device", "cpu"]) == 130
    said = capsys.readouterr().err
    assert "stopped by SIGINT; what is finished (0) is kept in" in said and "same command goes on" in said
    assert "--resume" not in said


@pytest.mark.usefixtures("quick")
def test_a_height_that_the_user_has_set_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only that scale is tried, and the training file keeps it."""
    monkeypatch.setattr(choosing, "METHODS", ("pca",))
    monkeypatch.setattr(choosing, "run_trunk_trial", _no_trunk)
    write_folder(tmp_path / "data", train=110, side=96)
    (tmp_path / "my.yaml").write_text("data: {root: data}\npreprocessing: {height: 72}\n")
    out = tmp_path / "out"
    assert main(["choose", str(tmp_path / "my.yaml"), str(out), "--minutes", "0.01", "--device", "cpu"]) == 0
    assert {trial["height"] for trial in json.loads((out / "choice.json").read_text())["trials"]} == {72}
    assert load_config(out / "recommended.yaml", None).preprocessing.height == 72
