"""The driver calls of a frame, counted beneath pycuda, are those that `doctor` reports.

They are counted in a process of its own, with calls.c in LD_PRELOAD: `python -m tests.gpu.driver_checks.calls` prints
them. `--emulated` counts on the tests-only driver.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.gpu.outcome import Outcome
from latentline.backends.tensorrt.gpu.presence import import_pycuda
from tests.gpu.driver_checks.frames import demo, tiled
from tests.gpu.driver_checks.rig import Rig

SOURCE = Path(__file__).with_name("calls.c")
REPEATS = 10
LIMIT = 120.0  # seconds


def check(rig: Rig) -> Outcome:
    """Compare the counts with what the searcher reports of a frame."""
    compiler = shutil.which("gcc")
    if compiler is None:
        return Outcome({"not run": "gcc is not installed"})
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "calls.so"
        subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, SOURCE, "-ldl"], check=True)
        command = [sys.executable, "-m", "tests.gpu.driver_checks.calls"]
        if rig.emulation is not None:
            command.append("--emulated")
        environment = {**os.environ, "LD_PRELOAD": str(library)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=LIMIT)
    if done.returncode:
        return Outcome({"stderr": done.stderr[-2000:]}, [f"the counting process ended with {done.returncode}"])
    found = json.loads(done.stdout.splitlines()[-1])
    counted = sum(found["counted"].values())
    wrong = [] if counted == found["reported"] else [f"{counted} calls a frame, and {found['reported']} are reported"]
    return Outcome(found, wrong)


def main() -> int:
    """Count the calls of a frame in this process, and print them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--emulated", action="store_true", help="on the tests-only driver")
    rig = Rig.here(parser.parse_args().emulated)
    import_pycuda()
    library = ctypes.CDLL(None)
    library.calls_of.restype, library.calls_of.argtypes = ctypes.c_long, [ctypes.c_char_p]
    names = re.findall(r"^COUNTED\((\w+),", SOURCE.read_text(encoding="utf-8"), re.MULTILINE)
    package = demo(2)
    frame = tiled(package, 2, 2)
    with rig.opened(package) as searcher, _graph_calls() as graphs:
        reported = searcher.measure(frame).host_calls
        searcher.reconstruct(frame)
        before = {name: library.calls_of(name.encode()) for name in names}
        graphs[0] = 0
        for _ in range(REPEATS):
            searcher.reconstruct(frame)
        counted = {name: (library.calls_of(name.encode()) - before[name]) / REPEATS for name in names}
        counted["graph calls, by ctypes"] = graphs[0] / REPEATS
    print(json.dumps({"counted": {name: calls for name, calls in counted.items() if calls}, "reported": reported}))
    return 0


@contextmanager
def _graph_calls() -> Iterator[list[int]]:
    """Count the calls by ctypes, which no linked function sees; in a list of one number."""
    from latentline.backends.tensorrt.gpu.capture import GraphDriver

    calls, call = [0], GraphDriver.call

    def counted(self: GraphDriver, name: str, *arguments: Any) -> None:
        calls[0] += 1
        call(self, name, *arguments)

    GraphDriver.call = counted  # type: ignore[method-assign]
    try:
        yield calls
    finally:
        GraphDriver.call = call  # type: ignore[method-assign]


if __name__ == "__main__":
    raise SystemExit(main())
