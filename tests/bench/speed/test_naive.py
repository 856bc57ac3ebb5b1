"""bench.speed.naive: the package's own search beside the long loop, on networks that are there."""

import json
from pathlib import Path

import pytest

from bench.speed import naive
from export import from_checkpoint
from export.cli import main
from tests.checkpoints import random_checkpoint
from tests.export.test_from_checkpoint import save
from tests.exports import export_once
from tests.trainer.folder import write_folder


def test_a_loop_of_more_steps_takes_longer_and_is_judged_on_the_same_frames(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Time, both AUROCs and their differences stand in the JSON; the two searches are not the same."""
    monkeypatch.setattr(from_checkpoint, "export_model", export_once)
    root = write_folder(tmp_path / "images", train=48, good=1, defects=2, side=16)
    run = save(random_checkpoint("f_anogan"), root, tmp_path / "run")
    package, quick = str(run / "package"), ["--iterations", "0", "--threads", "1"]
    assert main(["package", str(run), package, "--false-alarm-rate", "0.1", *quick]) == 0
    capsys.readouterr()
    given = ["naive", package, str(run), "--iterations", "20", "--repeats", "1", "--threads", "1", "--json"]
    monkeypatch.setattr("sys.argv", given)
    assert naive.main() == 0
    found = json.loads(capsys.readouterr().out)
    assert found["loop_over_package"][1] > 1
    loop, own = found["image_auroc"]
    assert found["image_auroc_difference"]["value"] == pytest.approx(own - loop, abs=1e-5)
    assert len(found["pixel_auroc"]) == 2 and found["pixel_auroc"][0] != found["pixel_auroc"][1]
    assert (found["start"], found["steps"], found["loop_steps"]) == ("encoder", 0, 20)
