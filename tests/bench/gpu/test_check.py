"""The GPU check says in one sentence where it cannot run, and its steps name only what is there."""

import importlib.util
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bench.gpu import check
from bench.gpu.limited import Task
from bench.gpu.steps import ROOT, STEPS, Plan


def test_without_a_gpu_one_sentence_says_so() -> None:
    """Exit code 2, no traceback, nothing run."""
    probe = [sys.executable, "-c", "import ctypes; ctypes.CDLL('libcuda.so.1')"]  # this process may hold the emulation
    if subprocess.run(probe, capture_output=True).returncode == 0:
        pytest.skip("THIS MACHINE HAS A CUDA DRIVER: that the check refuses without one was not tested")
    command = [sys.executable, "-m", "bench.gpu.check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: the GPU check needs an NVIDIA GPU") and done.stderr.count("\n") == 1


def test_an_unknown_step_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """The sentence names it and those there are."""
    assert check.main(["--emulated", "quick", "fast"]) == 2
    assert "there is no step fast; give some of install, quick" in capsys.readouterr().err


def test_a_python_that_is_not_there_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2, and a sentence that says what to give."""
    assert check.main(["--emulated", "--python", "/no/such/python"]) == 2
    assert "--python /no/such/python cannot be run" in capsys.readouterr().err


@pytest.fixture(params=[False, True], ids=["on a GPU", "emulated"])
def plan(request: pytest.FixtureRequest, tmp_path: Path) -> Plan:
    (tmp_path / "data").mkdir()
    return Plan(sys.executable, "3.12", tmp_path, tmp_path, emulated=request.param, data=tmp_path / "data")


def tasks(plan: Plan) -> list[Task]:
    return [task for step in STEPS.values() for task in step(plan)]


def test_the_steps_name_what_is_there(plan: Plan) -> None:
    """Modules after -m and -p can be found, and every file of the project that a command names exists."""
    found = tasks(plan)
    assert len(found) >= (5 if plan.emulated else 11)
    for task in found:
        for flag, value in zip(task.command, task.command[1:], strict=False):
            if flag in ("-m", "-p") and value not in ("gpu", "no:cacheprovider"):
                assert importlib.util.find_spec(value), value
        for word in task.command:
            if word.startswith(("tests/", "bench/", "edge_runtime/")):
                assert (ROOT / word).exists(), word


def test_libraries_of_another_python_are_left_alone(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only what was packed for this version of Python is unpacked, and found by the other commands."""
    (tmp_path / "main").mkdir()
    (tmp_path / "main" / "site-3.12.tar.xz").touch()
    monkeypatch.setattr("bench.gpu.steps.CARRIED", tmp_path)
    for version, unpacked in (("3.12", True), ("3.11", False)):
        found = list(STEPS["install"](replace(plan, version=version)))
        assert ("unpack" in [task.name for task in found]) == unpacked
        assert all(f"site-{version}" in task.environment["PYTHONPATH"] for task in found)


def test_a_rehearsal_never_finds_the_stand_in_by_its_name(plan: Plan) -> None:
    """The folder with a module `tensorrt` is on the path of a check on a GPU, and in no rehearsal's."""
    on_path = ["on_path" in task.environment["PYTHONPATH"] for task in tasks(plan)]
    assert all(on_path) or (plan.emulated and not any(on_path))


def test_the_check_ends_with_1_when_a_task_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And with 0 when none did; the others run in either case."""
    monkeypatch.setitem(STEPS, "quick", lambda plan: iter([plan.run("good", 60, "-c", "pass")]))
    monkeypatch.setitem(STEPS, "path", lambda plan: iter([plan.run("bad", 60, "-c", "raise SystemExit(5)")]))
    folders = ["--emulated", "--out", str(tmp_path / "out"), "--work", str(tmp_path / "work")]
    assert check.main([*folders, "quick"]) == 0
    assert check.main([*folders, "path", "quick"]) == 1
    log = (tmp_path / "out" / "log.txt").read_text()
    assert log.count("good: ok") == 2 and "bad: failed with 5" in log
