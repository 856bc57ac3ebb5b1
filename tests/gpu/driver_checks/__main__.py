"""What a CUDA driver says to the GPU path: python -m tests.gpu.driver_checks [CHECK ...] [--out FILE] [--emulated]

Engines are those of `import tensorrt`. `--emulated` rehearses on the tests-only driver, with PyTorch on the CPU in
TensorRT's place. Each check prints a line, and adds a line of JSON to FILE. Ends with 1 when one failed.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

from bench.gpu.outcome import Outcome, run
from latentline.backends.tensorrt.gpu.presence import import_pycuda
from latentline.errors import run_command
from tests.gpu.driver_checks import (
    calls,
    determinism,
    first_look,
    large_tiles,
    loop,
    lost_context,
    reopening,
    sizes,
    threads,
    two_in_flight,
)
from tests.gpu.driver_checks.rig import Rig

CHECKS: dict[str, Callable[[Rig], Outcome]] = {
    "calls": calls.check,
    "determinism": determinism.check,
    "loop": loop.check,
    "first_look": first_look.check,
    "two_in_flight": two_in_flight.check,
    "default_stream": threads.default_stream,
    "whole_device": threads.whole_device,
    "reopening": reopening.check,
    "lost_context": lost_context.check,
    "sizes": sizes.check,
    "large_tiles": large_tiles.check,
}


def main() -> int:
    """Run the checks that were named, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checks", nargs="*", metavar="CHECK", help=f"of {', '.join(CHECKS)} (default: all)")
    parser.add_argument("--out", type=Path, help="a file for the lines of JSON")
    parser.add_argument("--emulated", action="store_true", help="rehearse without a GPU")
    options = parser.parse_args()
    if unknown := [name for name in options.checks if name not in CHECKS]:
        parser.error(f"no check {', '.join(unknown)}; there are {', '.join(CHECKS)}")
    rig = Rig.here(options.emulated)
    import_pycuda()
    print(f"engines: {rig.trt.__name__} {rig.trt.__version__}", flush=True)
    failed = 0
    for name in options.checks or CHECKS:
        line = run(name, partial(CHECKS[name], rig))
        print(line, flush=True)
        if options.out:
            line.append_to(options.out)
        failed += not line.passed
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(run_command(main))
