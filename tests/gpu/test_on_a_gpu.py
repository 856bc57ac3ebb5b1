"""On real hardware: `pytest -m gpu`. Everything here is skipped, with the reason, where there is no GPU."""

import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from edge_runtime.tools.doctor.conformance import conformance, example_frames
from edge_runtime.tools.doctor.timing import Timing
from latentline.backends.openvino.searcher import OpenVinoSearcher
from latentline.backends.settings import GpuSettings
from latentline.package.model_package import ModelPackage, load_package
from tests.paths import DEMO_MODEL

pytestmark = pytest.mark.gpu

# In a process of its own: this one may hold the tests-only emulation of the driver.
PROBE = """
from latentline.backends.tensorrt.gpu.presence import import_pycuda, import_tensorrt
from latentline.errors import LatentlineError
try:
    import_pycuda(), import_tensorrt()
except LatentlineError as error:
    raise SystemExit(str(error))
"""


@pytest.fixture(scope="module")
def package() -> ModelPackage:
    probe = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=False)
    if probe.returncode:
        pytest.skip(f"NO GPU TEST RAN: {probe.stderr.strip()}")
    return load_package(DEMO_MODEL).with_iterations(10)


@pytest.fixture(scope="module")
def cpu(package: ModelPackage) -> Iterator[OpenVinoSearcher]:
    searcher = OpenVinoSearcher(package)
    yield searcher
    searcher.close()


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_the_gpu_finds_what_the_cpu_finds(package: ModelPackage, cpu: OpenVinoSearcher, precision: str) -> None:
    """Loss curve, score, map and components agree with the CPU, and a search repeated gives the same bits."""
    from latentline.backends.tensorrt.gpu.presence import import_tensorrt
    from latentline.backends.tensorrt.searcher import open_tensorrt

    searcher = open_tensorrt(package, import_tensorrt(), GpuSettings.model_validate({"precision": precision}))
    try:
        compared = list(conformance(package, cpu, searcher, searcher.precision))
    finally:
        searcher.close()
    assert [comparison for comparison in compared if not comparison.passed] == []


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_frame_is_one_launch_and_timed(
    package: ModelPackage, cpu: OpenVinoSearcher, precision: str, record_property: Callable[[str, object], None]
) -> None:
    """The GPU's clock gives a time for every frame; the median is printed and recorded, not judged."""
    from latentline.backends.tensorrt.gpu.presence import import_tensorrt
    from latentline.backends.tensorrt.searcher import open_tensorrt

    frame = example_frames(package, cpu)["several tiles"]
    searcher = open_tensorrt(package, import_tensorrt(), GpuSettings.model_validate({"precision": precision}))
    try:
        measured = [searcher.measure(frame) for _ in range(50)]
    finally:
        searcher.close()
    timing = Timing.of([one.device_ms for one in measured])
    record_property(f"search_ms_{precision}", timing.median)
    print(f"{precision}: {measured[0].tiles} tiles, {measured[0].nodes} nodes, {timing}")
    assert all(one.device_ms > 0 and one.host_calls == measured[0].host_calls for one in measured)
