"""`latentline-export engines`: builds into the cache, says what it did, and says in a sentence what it cannot do."""

import importlib
import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from export.cli import main
from latentline.backends.tensorrt.fp16 import check as half_check
from latentline.backends.tensorrt.fp16.check import BOUND, HalfReport
from tests.paths import DEMO_MODEL

ELSEWHERE = ["--tensorrt", "tensorrt_rtx", "--compute-capability", "8.9"]


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither TensorRT nor a driver, whatever this machine has."""
    real = importlib.import_module

    def without(name: str) -> Any:
        if name == "tensorrt":
            raise ModuleNotFoundError(name)
        if name == "pycuda.driver":
            raise ImportError("libcuda.so.1: cannot open shared object file")
        return real(name)

    monkeypatch.setattr(importlib, "import_module", without)


def test_builds_once_and_reports(rtx: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 0; the JSON names library, GPU, precision and every engine; the second time all were ready."""
    command = ["engines", str(DEMO_MODEL), *ELSEWHERE, "--cache", str(tmp_path), "--batch", "2"]
    assert main([*command, "--json"]) == 0
    first = json.loads(capsys.readouterr().out)
    assert first["tensorrt"].startswith("tensorrt_rtx 1.") and first["compute_capability"] == "8.9"
    assert (first["precision"], first["batch"], first["half_check"]) == ("fp32", 2, None)
    assert set(first["found"].values()) == {"missing"} and min(first["plan_bytes"].values()) > 100_000
    assert main([*command, "--json"]) == 0
    second = json.loads(capsys.readouterr().out)
    assert set(second["found"].values()) == {"ready"} and second["plan_bytes"] == first["plan_bytes"]
    assert main(command) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sum("was ready" in line for line in lines) == len(first["found"]) >= 4 and str(tmp_path) in lines[-1]


def test_fp16_reports_what_it_changes(
    rtx: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fp16 report carries the check: tiles, errors, and the move of the score."""
    measured = HalfReport(8, 1e-4, 0.1, 0.2, worst_score=1.5, median_score=0.25)
    monkeypatch.setattr(half_check, "measure_half", lambda *given: measured)
    command = ["engines", str(DEMO_MODEL), *ELSEWHERE, "--cache", str(tmp_path), "--precision", "fp16"]
    assert main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["half_check"] == asdict(measured)
    assert main(command) == 0
    assert "fp16 moves the score of a tile by 0.25 (median; at worst 1.5)" in capsys.readouterr().out


def test_fp16_that_changes_the_scores_is_exit_1(
    rtx: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond the bound nothing is built, and the sentence gives the number and the way out."""
    monkeypatch.setattr(half_check, "measure_half", lambda *given: HalfReport(8, 1e-4, 0.1, 0.2, 3.0, BOUND + 0.1))
    assert main(["engines", str(DEMO_MODEL), *ELSEWHERE, "--cache", str(tmp_path), "--precision", "fp16"]) == 1
    assert "0.6 (median; at worst 3)" in capsys.readouterr().err
    assert not list(tmp_path.glob("*.generator.*"))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "TensorRT's Python module tensorrt is not installed"),
        (["--compute-capability", "8.9"], "TensorRT's Python module tensorrt is not installed"),
        (["--batch", "0"], "'batch'"),
        (["--workspace", "1"], "'workspace_mib'"),
    ],
)
def test_what_cannot_be_done_is_exit_2_and_one_sentence(
    arguments: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is built and nothing is written to standard output."""
    assert main(["engines", str(DEMO_MODEL), "--cache", str(tmp_path / "cache"), *arguments]) == 2
    output = capsys.readouterr()
    assert not output.out and sentence in output.err and len(output.err.splitlines()) == 1
    assert not (tmp_path / "cache").exists()


def test_without_a_gpu_the_target_must_be_given(rtx: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """TensorRT-RTX could build for many GPUs: the command does not guess."""
    assert main(["engines", str(DEMO_MODEL), "--tensorrt", "tensorrt_rtx", "--cache", str(tmp_path)]) == 2
    assert "give the station's with --compute-capability" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["8", "8.x", "sm89", "", "-8.9"])
def test_a_wrong_compute_capability_is_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What is no compute capability is named by the argument parser, exit code 2."""
    with pytest.raises(SystemExit) as stopped:
        main(["engines", str(DEMO_MODEL), f"--compute-capability={text}"])
    assert stopped.value.code == 2 and "is not a compute capability such as 8.9" in capsys.readouterr().err


def test_the_command_needs_no_pytorch() -> None:
    """Command line and builder load where torch cannot be imported, as on a Jetson."""
    script = (
        "import sys; sys.modules['torch'] = None\n"
        "import export.cli, export.engines, latentline.backends.tensorrt.engines.engine_set\n"
        "assert not any(name.split('.')[0] == 'trainer' for name in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
