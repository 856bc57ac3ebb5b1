"""Models of large tiles with random weights: one search step against the CPU's, and the time of a search."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bench.gpu.outcome import Outcome
from export.package import export_model
from latentline.backends.openvino.searcher import OpenVinoSearcher
from latentline.backends.settings import Precision
from latentline.errors import BackendError
from latentline.package.model_package import ModelPackage
from tests.gpu.driver_checks.rig import Rig
from tests.packages import SEARCH, SIZE, networks, tiny_model, write_random_package

Float = npt.NDArray[np.float32]
ITERATIONS = 10  # of the search that is timed
GRADIENT_BOUND = 2e-2  # relative, of fp32; fp16 takes activations across their kinks and is only reported


@dataclass(frozen=True)
class Reference:
    """One step on the CPU: where, and the loss [2] and gradient [2, L] there; search: seconds for one tile."""

    z: Float
    x: Float
    fx: Float
    loss: Float
    gradient: Float
    search: float


def check(rig: Rig) -> Outcome:
    """Compare loss and gradient of 256, 512 and 1024 px; of the tests' tiny model on the emulation."""
    rows: dict[str, object] = {}
    failures = []
    for px in (256, 512, 1024) if rig.emulation is None else (SIZE,):
        with tempfile.TemporaryDirectory() as folder:
            package = _package(rig, px, Path(folder) / "package")
            reference = _reference(package)
            local = replace(rig, cache=Path(folder) / "cache")
            for precision in rig.precisions:
                name = f"{px} px, {precision}"
                try:
                    row, wrong = _row(local, package, precision, reference)
                except BackendError as error:
                    row, wrong = {"refused": str(error)[:200]}, precision == "fp32"
                rows[name] = row
                print("   ", name, row, flush=True)
                if wrong:
                    failures.append(f"{name}: {row}")
    return Outcome(rows, failures)


def _package(rig: Rig, px: int, out: Path) -> ModelPackage:
    if rig.emulation is not None:
        return write_random_package(out, tiny_model())
    search = SEARCH.model_copy(update={"iterations": ITERATIONS})
    return write_random_package(out, export_model(*networks(px, latent=128, base=2048, maximum=64), None, search))


def _reference(package: ModelPackage) -> Reference:
    rng, size = np.random.default_rng(0), package.spec.tile_size
    z = rng.standard_normal((2, package.spec.latent_size)).astype(np.float32)
    x = np.tanh(rng.standard_normal((2, 1, size, size))).astype(np.float32)
    cpu = OpenVinoSearcher(package)
    try:
        fx = cpu.discriminate(x)[1]
        loss, gradient = cpu.step(z, x, fx)
        start = time.perf_counter()
        cpu.search(np.zeros((1, size, size, 1), np.uint8))
        return Reference(z, x, fx, loss, gradient, time.perf_counter() - start)
    finally:
        cpu.close()


def _row(rig: Rig, package: ModelPackage, precision: Precision, reference: Reference) -> tuple[dict[str, object], bool]:
    """The figures of one precision, and whether they are wrong."""
    size = package.spec.tile_size
    frame = np.random.default_rng(1).integers(0, 256, (size, size, 1), np.uint8)
    with rig.opened(package, precision, batch=2) as searcher:
        loss, gradient = searcher.step(reference.z, reference.x, reference.fx)
        clock = [searcher.measure(frame).device_ms for _ in range(rig.count(10, 2))]
    error = _relative(gradient, reference.gradient)
    figures: dict[str, object] = {
        "loss error": _relative(loss, reference.loss),
        "gradient error": error,
        "search ms": float(np.median(clock)),
        "CPU search ms": 1e3 * reference.search,
    }
    return figures, precision == "fp32" and not error < GRADIENT_BOUND


def _relative(found: Float, expected: Float) -> float:
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))
