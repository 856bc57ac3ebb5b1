"""A detection bench that is told to end takes its trainings with it."""

import runpy
import sys
from pathlib import Path

from tests import warm
from tests.bench.detection.mnist_files import write_digits
from tests.bench.processes import children, is_running
from tests.waiting import wait_until


def _bench(*arguments: str) -> None:
    sys.argv = ["mnist", *arguments]
    runpy.run_module("bench.detection.mnist", run_name="__main__")


def test_sigterm_ends_trainings_and_keeps_their_checkpoints(tmp_path: Path) -> None:
    """After SIGTERM no process of the bench runs, and the training that was running can be resumed."""
    data, out = write_digits(tmp_path / "mnist"), tmp_path / "out"
    options = ["--digits", "0", "--protocols", "known", "--images", "1000000", "--workers", "1"]
    bench = warm.start(_bench, str(data), str(out), *options, errors=tmp_path / "errors")
    assert bench.pid is not None
    try:
        wait_until(lambda: any(out.rglob("log.txt")), "a training", seconds=120)
        started = children(bench.pid)
        bench.terminate()
        bench.join(60)
    finally:
        bench.kill()
    assert bench.exitcode == 143 and started, (tmp_path / "errors").read_text()
    wait_until(lambda: not any(is_running(pid) for pid in started), "the processes of the bench to end", seconds=60)
    assert [path.parents[1] for path in out.rglob("state.json")] == [path.parent for path in out.rglob("log.txt")]
