"""The GPU check, rehearsed: PyTorch's engines in the product's own search, on the tests-only driver."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.gpu.outcome import run
from latentline.backends.openvino.searcher import OpenVinoSearcher
from latentline.inspection.host_reconstructor import HostReconstructor
from latentline.package.model_package import ModelPackage
from tests.fake_cuda.driver import FakeDriver
from tests.gpu.driver_checks import (
    calls,
    determinism,
    first_look,
    large_tiles,
    loop,
    reopening,
    sizes,
    threads,
    two_in_flight,
)
from tests.gpu.driver_checks.frames import tiled
from tests.gpu.driver_checks.rig import Rig
from tests.gpu.standin.engine import Arrays, Engine
from tests.gpu.standin.module import StandIn
from tests.gpu.standin.torch_engine import TorchEngine, TorchStandIn
from tests.packages import tiny_model, write_random_package

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> ModelPackage:
    return write_random_package(tmp_path_factory.mktemp("package") / "tiny", tiny_model())


def test_a_search_finds_what_the_cpu_finds(rig: Rig, package: ModelPackage) -> None:
    """Map, picture, and the components of frame and tiles equal the CPU backend's, in several batches."""
    frame = tiled(package, 2, 3)
    cpu = OpenVinoSearcher(package, threads=1, components=["feature"])
    try:
        expected = HostReconstructor(cpu, package.tiler, package.statistics).reconstruct(frame)
    finally:
        cpu.close()
    with rig.opened(package, batch=4) as searcher:
        found = searcher.reconstruct(frame)
    assert len(found.plan.corners) == 6
    np.testing.assert_allclose(found.anomaly_map, expected.anomaly_map, rtol=2e-3, atol=1e-3)
    assert np.abs(found.reconstruction.astype(int) - expected.reconstruction).max() <= 1
    assert found.values == pytest.approx(expected.values, rel=1e-3, abs=1e-3)
    assert set(found.tile_values) == set(expected.tile_values) == {"feature", "d_frame"}
    for name, values in expected.tile_values.items():
        np.testing.assert_allclose(found.tile_values[name], values, rtol=1e-3, atol=1e-3)


def test_a_step_in_half_is_onnx_runtime_s_rounded_to_half(rig: Rig, package: ModelPackage) -> None:
    """Loss and gradient of fp16 engines, in PyTorch and in ONNX Runtime with the rounding of fp16."""
    rng, spec = np.random.default_rng(0), package.spec
    z = rng.standard_normal((2, spec.latent_size)).astype(np.float32)
    x = np.tanh(rng.standard_normal((2, spec.channels, spec.tile_size, spec.tile_size))).astype(np.float32)
    cpu = OpenVinoSearcher(package, threads=1)
    try:
        fx = cpu.discriminate(x)[1]
    finally:
        cpu.close()
    steps = []
    for module in (rig.trt, StandIn()):
        with replace(rig, trt=module).opened(package, "fp16") as searcher:
            steps.append(searcher.step(z, x, fx))
    (loss, gradient), (expected_loss, expected_gradient) = steps
    np.testing.assert_allclose(loss, expected_loss, rtol=2e-3)
    assert np.linalg.norm(gradient - expected_gradient) <= 0.05 * np.linalg.norm(expected_gradient)


@pytest.mark.parametrize(
    "check",
    [
        determinism.check,
        loop.check,
        first_look.check,
        two_in_flight.check,
        threads.default_stream,
        threads.whole_device,
        reopening.check,
        sizes.check,
        large_tiles.check,
        calls.check,
    ],
    ids=lambda check: f"{check.__module__.rpartition('.')[2]}-{check.__name__}",
)
def test_a_check_of_the_driver_passes(rig: Rig, check: object, capsys: pytest.CaptureFixture[str]) -> None:
    """Every check runs to its end, finds figures, and has nothing to complain of."""
    assert callable(check)
    outcome = check(rig)
    assert outcome.failures in ((), []) and outcome.found
    assert rig.emulation is not None and rig.emulation.reports() == []


class Restless(TorchStandIn):
    """Engines that never give the same twice."""

    def _load(self, graph: bytes, most: int) -> TorchEngine:
        return RestlessEngine(self, graph, most, self._device)


class RestlessEngine(TorchEngine):
    _runs = 0

    def _compute(self, inputs: Arrays) -> Arrays:
        self._runs += 1
        drift = np.float32(1e-4 * self._runs)
        return {name: array + drift * (name == "image") for name, array in super()._compute(inputs).items()}


def test_engines_that_never_give_the_same_twice_are_found_out(rig: Rig) -> None:
    """Determinism, and two frames in flight, are judged by their bits."""
    restless = replace(rig, trt=Restless("cpu"))
    assert any("in the same searcher" in failure for failure in determinism.check(restless).failures)
    assert any("not those of their frames" in failure for failure in two_in_flight.check(restless).failures)


def test_an_engine_that_fails_is_a_failure_of_its_check_alone(rig: Rig) -> None:
    """What a check raises becomes a line of the report, with the sentence."""
    broken = TorchStandIn("cpu")
    broken.fails_to_load = True
    line = run("sizes", lambda: sizes.check(replace(rig, trt=broken)))
    assert not line.passed and "cannot load the engine" in line.failures[0]
    assert "FAIL sizes" in str(line)


def test_the_kernels_run_on_whatever_driver_is_loaded(loaded_fake_driver: FakeDriver) -> None:
    """The plugin takes the tests of the kernels to a driver: modules, launches and buffers are the driver's."""
    plugin = ["-p", "tests.gpu.plugins.gpu_kernels", "--emulated"]
    tests = ["tests/latentline/backends/tensorrt/gpu/test_kernels_on_host.py", "-k", "adam"]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "addopts=", *plugin, *tests]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and " passed" in done.stdout, done.stdout


def test_engines_by_name_are_those_of_the_module(rig: Rig) -> None:
    """On the emulation `import tensorrt` would find engines on the CPU, not on a GPU that is not there."""
    engine = TorchStandIn()._load(tiny_model().graphs["generator.onnx"], 1)
    assert isinstance(engine, Engine) and type(engine.create_execution_context()).__name__ == "Context"
