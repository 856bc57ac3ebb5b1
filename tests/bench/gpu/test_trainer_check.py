"""The check of the trainer, rehearsed on the CPU."""

import json
from pathlib import Path

import pytest

from bench.gpu.trainer_check import Setting, main, speed


def test_a_rehearsal_passes_and_writes_its_report(tmp_path: Path) -> None:
    """Losses stay finite through every stage, the CPU agrees with itself, and the mean over processes is a mean."""
    out = tmp_path / "train.jsonl"
    assert main(["parity", "nccl", "growth", "--small", "--out", str(out)]) == 0
    lines = {line["check"]: line for line in map(json.loads, out.read_text().splitlines())}
    assert set(lines) == {"parity", "nccl", "growth"} and all(line["passed"] for line in lines.values())
    (grown,) = lines["growth"]["found"].values()
    assert grown["stages"] == 4
    assert lines["nccl"]["found"]["backend"] == "gloo"


def test_steps_are_timed() -> None:
    """A rate for the CPU's float32; no judgement."""
    (row,) = speed(Setting(small=True, seconds=0)).found.values()
    assert isinstance(row, dict) and row["images/s"] > 0


def test_an_unknown_check_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2, and the sentence names those there are."""
    with pytest.raises(SystemExit) as ended:
        main(["--small", "speeed"])
    assert ended.value.code == 2 and "no check speeed; there are parity" in capsys.readouterr().err
