"""What the GPU path and the trainer do on this machine's GPU: python -m bench.gpu.check [STEP ...]

install   unpack what `bench.gpu.pack` packed, if it is here; print GPU, driver, versions
quick     pytest -m gpu, and the tests of the kernels on the GPU
path      the tests of the search on the real driver; what the driver does (tests/gpu/driver_checks)
doctor    the acceptance test in fp32 and fp16, and the floors beside its times
sanitize  compute-sanitizer over the tests of the kernels
train     the trainer: speed, growth to 1024 px, the same losses as on the CPU, NCCL
fit       a real training, packaged and tested (needs --data, or images carried in .gpu-kit/carry/data)
rtx       whether TensorRT-RTX runs here

Without STEP: all but the last two. Where TensorRT is not installed, or with --standin, PyTorch stands in for it.
Every command has its own time limit, and none stops the next. Reports go to --out. Ends with 1 when one failed, with 2
where there is no GPU. `--emulated` rehearses the steps that need none, on the tests-only driver and the CPU.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bench.gpu.limited import Result, run
from bench.gpu.machine import has_tensorrt, missing, version_of
from bench.gpu.steps import KIT, ROOT, STEPS, USUAL, Plan


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the steps and print how each command ended."""
    options = _parser().parse_args(arguments)
    if unknown := [step for step in options.steps if step not in STEPS]:
        return _refuse(f"there is no step {', '.join(unknown)}; give some of {', '.join(STEPS)}")
    version = version_of(options.python)
    if version is None:
        return _refuse(f"--python {options.python} cannot be run; give a Python with PyTorch")
    if not options.emulated and (lacking := missing(options.python)):
        return _refuse(lacking)
    standin = options.standin or not has_tensorrt(options.python)
    plan = Plan(
        python=options.python,
        version=version,
        out=options.out.resolve(),
        work=options.work.resolve(),
        emulated=options.emulated,
        standin=standin,
        data=options.data and options.data.resolve(),
        fit_seconds=options.fit_seconds,
        fit_set=options.fit_set,
    )
    plan.out.mkdir(parents=True, exist_ok=True)
    print(f"engines: {'PyTorch standing in for TensorRT' if standin else 'TensorRT'}; reports: {plan.out}")
    os.chdir(ROOT)
    return _run(options.steps or USUAL, plan)


def _run(steps: Sequence[str], plan: Plan) -> int:
    results: list[Result] = []
    start = time.monotonic()
    for step in steps:
        tasks = list(STEPS[step](plan))
        if not tasks:
            print(f"=== {step}: nothing to run here")
        results += [run(task, plan.out / "log.txt") for task in tasks]
    print(f"=== {time.monotonic() - start:.0f} s in all", *results, sep="\n")
    return 0 if all(result.passed for result in results) else 1


def _refuse(sentence: str) -> int:
    print(f"error: {sentence}", file=sys.stderr)
    return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("steps", nargs="*", metavar="STEP")
    parser.add_argument("--out", type=Path, default=KIT / "report", help="folder of the reports (.gpu-kit/report)")
    parser.add_argument("--work", type=Path, default=KIT / "work", help="folder of caches (.gpu-kit/work)")
    parser.add_argument("--python", default=sys.executable, help="interpreter with PyTorch (this one)")
    parser.add_argument("--standin", action="store_true", help="PyTorch in TensorRT's place even where that is")
    parser.add_argument("--emulated", action="store_true", help="rehearse without a GPU")
    parser.add_argument("--data", type=Path, help="images for the step fit")
    parser.add_argument("--fit-seconds", type=float, default=150.0, help="of training in the step fit (150)")
    parser.add_argument("--fit-set", nargs="+", default=[], metavar="KEY=VALUE", help="changes to its configuration")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
