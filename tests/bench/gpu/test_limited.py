"""Commands of the GPU check run one after the other, each within its limit, whatever becomes of the others."""

import sys
from pathlib import Path

from bench.gpu.limited import Result, Task, run


def task(program: str, limit: float = 60, **environment: str) -> Task:
    return Task("task", (sys.executable, "-c", program), limit, environment)


def test_what_a_task_prints_is_logged_and_its_end_shown(tmp_path: Path, capsys: object) -> None:
    """All lines, of both streams, are in the log, with the environment that the task asked for."""
    log = tmp_path / "log.txt"
    program = "import os, sys; print('\\n'.join(map(str, range(40)))); print(os.environ['KEY'], file=sys.stderr)"
    assert run(task(program, KEY="its value"), log).passed
    text = log.read_text()
    assert "=== task\n0\n1\n" in text and "its value\n" in text and "--- task: ok" in text


def test_a_task_that_hangs_is_ended_and_the_next_one_runs(tmp_path: Path) -> None:
    """Out of time is no exit status, also for a task that ignores being asked to end."""
    hanging = run(task("import signal; print('begins', flush=True); signal.pause()", limit=1), tmp_path / "log.txt")
    failing = run(task("raise SystemExit(3)"), tmp_path / "log.txt")
    assert (hanging.code, failing.code) == (None, 3) and not hanging.passed and not failing.passed
    assert "begins" in (tmp_path / "log.txt").read_text()


def test_a_command_that_is_not_there_is_a_failed_task(tmp_path: Path) -> None:
    """It says which, and does not stop the check."""
    assert run(Task("absent", ("/no/such/program",), 1), tmp_path / "log.txt").code == 127
    assert "/no/such/program cannot be run" in (tmp_path / "log.txt").read_text()


def test_a_result_says_how_it_ended() -> None:
    """The three ways."""
    assert str(Result("a", 0, 1.2)) == "a: ok, 1 s"
    assert str(Result("a", 4, 1.2)) == "a: failed with 4, 1 s"
    assert str(Result("a", None, 1.2)) == "a: out of time, 1 s"
