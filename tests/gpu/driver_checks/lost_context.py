"""A kernel that faults: every later call says so in a sentence, and the process ends by itself, not by a signal.

The context is lost in a process of its own: `python -m tests.gpu.driver_checks.lost_context` prints what was said.
"""

from __future__ import annotations

import json
import subprocess
import sys

from bench.gpu.outcome import Outcome
from latentline.backends.tensorrt.gpu.presence import import_pycuda, import_tensorrt
from latentline.errors import BackendError
from tests.gpu.driver_checks.frames import demo, tiled
from tests.gpu.driver_checks.rig import Rig

NOWHERE = 0x10  # an address that no memory has
ATTEMPTS = 3
LIMIT = 120.0  # seconds
KEPT = 1500  # characters of what the process said


def check(rig: Rig) -> Outcome:
    """Read what the other process says. The emulation's own tests lose its context; nothing is done there."""
    if rig.emulation is not None:
        return Outcome({"not run": "the emulation has no addresses of its own to fault at"})
    command = [sys.executable, "-m", "tests.gpu.driver_checks.lost_context"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT)
    failures = []
    if done.returncode:
        failures.append(f"the process ended with {done.returncode}")
    if done.stdout.count("context is lost") != ATTEMPTS:
        failures.append(f"not each of {ATTEMPTS} calls said that the context is lost")
    return Outcome({"said": done.stdout[-KEPT:], "stderr": done.stderr[-KEPT:]}, failures)


def main() -> int:
    """Lose the context of this process, use the searcher on, close it."""
    import_pycuda()
    from latentline.backends.tensorrt.gpu import tile_launches

    package = demo(2)
    frame = tiled(package, 2, 2)
    said = []
    with Rig(import_tensorrt()).opened(package) as searcher:
        searcher.reconstruct(frame)
        session = searcher._session
        for attempt in range(ATTEMPTS):
            try:
                if attempt == 0:
                    with session.working("a kernel with a bad address"):
                        bad = tile_launches.adam(*[NOWHERE] * 8, count=64, batch=1)
                        session._run(bad, session.stream)
                        session.stream.synchronize()
                searcher.reconstruct(frame)
            except BackendError as error:
                said.append(str(error))
    print(json.dumps(said, indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
