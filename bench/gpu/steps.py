"""The steps of the GPU check: which commands each runs, and how long each may take."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.gpu.limited import Task

ROOT = Path(__file__).resolve().parents[2]
KIT = ROOT / ".gpu-kit"
CARRIED = KIT / "carry"
DEMO = "edge_runtime/tools/demo/model"
KERNEL_TESTS = tuple(f"tests/latentline/backends/tensorrt/gpu/test_{name}_on_host.py" for name in ("kernels", "ssim"))
SEARCH_TESTS = "tests/latentline/backends/tensorrt/test_searcher.py"
TRUNK_TESTS = "tests/latentline/backends/tensorrt/test_trunk.py"
STANDIN = "tests/gpu/on_path"  # where `import tensorrt` finds PyTorch standing in for it
# These tests launch kernels hundreds of times, which compute-sanitizer makes too slow.
SLOW_KERNEL_TESTS = "not every_colour and not slivers"
QUICK_KERNEL_TESTS = "pooling or blend or adam or seam"  # what a rehearsal runs of them


@dataclass(frozen=True)
class Plan:
    """How the steps are to be run.

    python       with PyTorch; version: its, e.g. "3.12"
    out          folder for the reports; work: folder for what is unpacked and cached
    emulated     a rehearsal on the tests-only driver and the CPU
    standin      PyTorch stands in for TensorRT
    data         folder of images for the step `fit`; fit_seconds of training; fit_set: KEY=VALUE for its configuration
    """

    python: str
    version: str
    out: Path
    work: Path
    emulated: bool = False
    standin: bool = True
    data: Path | None = None
    fit_seconds: float = 150.0
    fit_set: Sequence[str] = ()

    @property
    def site(self) -> Path:
        """Where the carried libraries for this version of Python are unpacked."""
        return self.work / f"site-{self.version}"

    @property
    def rtx_site(self) -> Path:
        """Where TensorRT-RTX is unpacked."""
        return self.work / "rtx"

    def environment(self) -> dict[str, str]:
        """What every command finds in its environment."""
        path = [str(ROOT), *([str(ROOT / STANDIN)] if self.standin and not self.emulated else []), str(self.site)]
        return {
            "PYTHONPATH": os.pathsep.join(path),
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "LATENTLINE_CACHE": str(self.work / "cache"),
            "CUDA_CACHE_PATH": str(self.work / "ptx"),
            "TORCH_CUDNN_V8_API_LRU_CACHE_LIMIT": "10000",  # an engine's algorithms stay chosen
        }

    def run(self, name: str, limit: float, *command: str) -> Task:
        """A task of the interpreter: its arguments follow."""
        return Task(name, (self.python, *command), limit, self.environment())

    def pytest(self, name: str, limit: float, *arguments: str) -> Task:
        """A task of pytest, without what the project's settings add for a machine without a GPU."""
        fixed = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "addopts=-ra", "-o", "filterwarnings=default")
        return self.run(name, limit, *fixed, *arguments)


def install(plan: Plan) -> Iterator[Task]:
    """Unpack what was carried here for this Python, if anything was, and print what the machine is."""
    archive = CARRIED / "main" / f"site-{plan.version}.tar.xz"
    if archive.is_file() and not (plan.site / "pycuda").is_dir():
        yield plan.run("unpack", 120, "-m", "bench.gpu.unpack", str(plan.site), str(archive))
    if not plan.emulated:
        yield plan.run("facts", 60, "-m", "bench.gpu.facts")


def quick(plan: Plan) -> Iterator[Task]:
    """Is anything broken: the tests that need a GPU, and those of the kernels on it."""
    if plan.emulated:
        plugin = ("-p", "tests.gpu.plugins.gpu_kernels", "--emulated")
        yield plan.pytest("kernels on the emulation", 60, *plugin, *KERNEL_TESTS, "-k", QUICK_KERNEL_TESTS)
        return
    yield plan.pytest("pytest -m gpu", 90, "-s", "-m", "gpu", "--junitxml", str(plan.out / "gpu.xml"), "tests/gpu")
    yield plan.pytest("kernels on the GPU", 60, "-p", "tests.gpu.plugins.gpu_kernels", *KERNEL_TESTS)


def path(plan: Plan) -> Iterator[Task]:
    """The search's tests and the checks of the driver."""
    engines = ("-p", "tests.gpu.plugins.torch_engines")
    if plan.emulated:
        yield plan.pytest("search on the emulation", 120, *engines, SEARCH_TESTS, "-k", "replay or one_launch")
    else:
        driver = ("-p", "tests.gpu.plugins.real_driver")
        yield plan.pytest("search on the real driver", 120, *engines, *driver, SEARCH_TESTS)
        yield plan.pytest("trunk on the real driver", 60, *engines, *driver, TRUNK_TESTS)
    checks = ("-m", "tests.gpu.driver_checks", "--out", str(plan.out / "driver.jsonl"))
    more = ("--emulated",) if plan.emulated else ()
    yield plan.run("driver checks", 300, *checks, *more, *DRIVER_CHECKS)
    yield plan.run("large tiles", 100, *checks, *more, "large_tiles")


DRIVER_CHECKS = (
    "calls",
    "determinism",
    "loop",
    "first_look",
    "two_in_flight",
    "default_stream",
    "reopening",
    "lost_context",
    "whole_device",
    "sizes",
)


def doctor(plan: Plan) -> Iterator[Task]:
    """The acceptance test in both precisions, and the floors beside its times."""
    if plan.emulated:
        return
    for precision in ("fp32", "fp16"):
        out = str(plan.out / f"doctor-{precision}")
        arguments = ("--precision", precision, "--seconds", "5", "--output", out)
        yield plan.run(f"doctor {precision}", 60, "-m", "edge_runtime", "doctor", *arguments)
    measured = str(plan.out / "doctor-fp32" / "doctor.json")
    yield plan.run("floors", 30, "-m", "bench.roofline.search", DEMO, "--measured", measured)


def sanitize(plan: Plan) -> Iterator[Task]:
    """compute-sanitizer over the kernels' tests, where it is installed."""
    if plan.emulated or shutil.which("compute-sanitizer") is None:
        return
    for tool in ("memcheck", "racecheck"):
        tests = plan.pytest(
            f"compute-sanitizer {tool}",
            75,
            "-p",
            "tests.gpu.plugins.gpu_kernels",
            *KERNEL_TESTS,
            "-k",
            SLOW_KERNEL_TESTS,
        )
        command = ("compute-sanitizer", "--tool", tool, "--error-exitcode", "9", *tests.command)
        yield Task(tests.name, command, tests.limit, tests.environment)


def train(plan: Plan) -> Iterator[Task]:
    """The trainer on the GPU: speed, growth, the same losses as on the CPU, NCCL."""
    arguments = ("--seconds", "1", "--out", str(plan.out / "train.jsonl"))
    more = ("--small",) if plan.emulated else ()
    yield plan.run("trainer", 230, "-m", "bench.gpu.trainer_check", *arguments, *more)


def fit(plan: Plan) -> Iterator[Task]:
    """A real training on the GPU, packaged and tested as a station would."""
    data = plan.data or next((folder for folder in sorted((CARRIED / "data").glob("*")) if folder.is_dir()), None)
    if data is None:
        return
    folders = (str(data), str(plan.work / "fit"), "--report", str(plan.out / "fit"))
    changes = ("--set", *plan.fit_set) if plan.fit_set else ()
    command = ("-m", "bench.gpu.fit_check", *folders, "--seconds", f"{plan.fit_seconds:g}", *changes)
    yield plan.run("a real training", 180 + plan.fit_seconds, *command)


def rtx(plan: Plan) -> Iterator[Task]:
    """Whether TensorRT-RTX runs on this GPU."""
    pieces = sorted(map(str, CARRIED.glob("rtx-*/rtx.tar.xz.*")))
    if pieces:
        yield plan.run("unpack TensorRT-RTX", 60, "-m", "bench.gpu.unpack", str(plan.rtx_site), *pieces)
    probe = plan.run("TensorRT-RTX", 60, "-m", "bench.gpu.rtx_probe")
    environment = {**probe.environment, "PYTHONPATH": f"{probe.environment['PYTHONPATH']}{os.pathsep}{plan.rtx_site}"}
    yield Task(probe.name, probe.command, probe.limit, environment)


STEPS: dict[str, Callable[[Plan], Iterator[Task]]] = {
    "install": install,
    "quick": quick,
    "path": path,
    "doctor": doctor,
    "sanitize": sanitize,
    "train": train,
    "fit": fit,
    "rtx": rtx,
}
USUAL = ("install", "quick", "path", "doctor", "sanitize", "train")
