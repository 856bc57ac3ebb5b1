"""The trunk on the emulated GPU: features of the CPU, one launch a frame, all released; else it runs on the CPU."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from latentline.backends.openvino.searcher import OpenVinoSearcher
from latentline.backends.openvino.trunk import OpenVinoTrunk
from latentline.backends.select import trunk_beside_gpu
from latentline.backends.settings import GpuSettings
from latentline.backends.tensorrt.engines.engine_set import EngineSet
from latentline.backends.tensorrt.graphs.prepare import prepare_graph
from latentline.errors import BackendError, EngineError, VerificationError
from latentline.inspection.host_reconstructor import HostReconstructor
from latentline.package.model_package import TRUNK, ModelPackage, load_package
from latentline.trunk.statistics import DISTANCE
from tests.fake_cuda.driver import FakeDriver
from tests.fake_cuda.host_kernels import build_host_kernels
from tests.gpu.standin.module import StandIn
from tests.latentline.package.test_trunk_file import package as write_with_trunk
from tests.paths import FAKE_CUDA
from tests.trunks import tiny_graph, tiny_packaged

Open = Callable[..., Any]


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> ModelPackage:
    return load_package(write_with_trunk(tmp_path_factory.mktemp("package") / "tiny", tiny_packaged()))


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> GpuSettings:
    return GpuSettings(cache=tmp_path_factory.mktemp("cache"))


@pytest.fixture
def opened(fake_driver: FakeDriver, package: ModelPackage, settings: GpuSettings) -> Iterator[Open]:
    """A function that opens trunks on the emulation. They are closed after the test."""
    trunks = []

    def open_trunk(trt: StandIn | None = None) -> Any:
        from latentline.backends.tensorrt.trunk import open_tensorrt_trunk

        trunks.append(open_tensorrt_trunk(package, trt or StandIn(), settings))
        return trunks[-1]

    yield open_trunk
    for trunk in trunks:
        trunk.close()


def test_features_are_those_of_the_cpu(opened: Open) -> None:
    """For frames of several sizes and channels, one after the other."""
    trunk, cpu = opened(), OpenVinoTrunk(tiny_graph(), threads=1)
    for shape in ((40, 50), (200, 90, 3), (40, 50)):
        frame = np.random.default_rng(shape[0]).integers(0, 256, shape, np.uint8)
        np.testing.assert_allclose(trunk.features(frame), cpu.features(frame), atol=1e-4)
    assert trunk.self_test() < 1e-5 and trunk.name == "tensorrt"


def test_a_frame_is_one_launch(opened: Open, fake_driver: FakeDriver) -> None:
    """Upload, engine and download are captured once; a frame allocates nothing."""
    trunk = opened()
    frame = np.zeros((40, 50), np.uint8)
    trunk.features(frame)
    before = fake_driver.calls()
    trunk.features(frame)
    new = {name: count - before.get(name, 0) for name, count in fake_driver.calls().items()}
    assert new["cuGraphLaunch"] == 1
    assert not [name for name, count in new.items() if count and name.startswith(("cuMem", "cuLaunch"))]


def test_closing_releases_everything(opened: Open, fake_driver: FakeDriver) -> None:
    """Memory, stream and context go; a closed trunk says that it is closed."""
    trunk = opened()
    trunk.close()
    trunk.close()
    with pytest.raises(BackendError, match="this trunk is closed"):
        trunk.features(np.zeros((40, 50), np.uint8))


def test_an_engine_that_computes_wrong_numbers_is_refused(
    fake_driver: FakeDriver, package: ModelPackage, settings: GpuSettings
) -> None:
    """Opening runs the self-test on the GPU."""
    from latentline.backends.tensorrt.trunk import open_tensorrt_trunk

    assert package.trunk is not None
    test = replace(package.trunk.test, features=package.trunk.test.features * np.float32(1.01))
    wrong = replace(package, trunk=replace(package.trunk, test=test))
    with pytest.raises(VerificationError, match=r"trunk\.onnx computes wrong numbers here"):
        open_tensorrt_trunk(wrong, StandIn(), settings)


def test_what_the_gpu_cannot_run_runs_on_the_cpu(
    fake_driver: FakeDriver, package: ModelPackage, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The search stays on the GPU; the reason is told. Where the GPU can, nothing is said."""
    empty = GpuSettings(cache=tmp_path)
    extractor, remark = trunk_beside_gpu(package, StandIn(), empty, 1)
    assert extractor is not None and (extractor.name, remark) == ("tensorrt", "")
    extractor.close()
    broken = StandIn()
    broken.fails_to_load = True
    extractor, remark = trunk_beside_gpu(package, broken, empty, 1)
    assert extractor is not None and extractor.name == "openvino"
    assert "with the trunk on the CPU: TensorRT cannot load the engine of trunk.onnx" in remark
    assert "the trunk runs on the CPU beside the search on the GPU" in caplog.text
    assert trunk_beside_gpu(replace(package, trunk=None), StandIn(), empty, 1) == (None, "")


def test_the_graph_can_be_prepared() -> None:
    """All its shapes but the batch are fixed; another type is refused as in every graph."""
    prepared = prepare_graph(tiny_graph().graph, TRUNK, "fp32")
    assert prepared
    with pytest.raises(EngineError, match=r"trunk\.onnx: cannot be prepared"):
        prepare_graph(tiny_graph().graph[:-9], TRUNK, "fp32")


def test_search_and_trunk_share_the_gpu(fake_driver: FakeDriver, package: ModelPackage, settings: GpuSettings) -> None:
    """Two frames in flight, each with the values and the map that the CPU finds."""
    from latentline.backends.tensorrt.searcher import open_tensorrt

    fake_driver.use_kernels(build_host_kernels("fp32", FAKE_CUDA))
    searcher = open_tensorrt(package, StandIn(), settings)
    gpu = package.with_trunk(searcher, trunk_beside_gpu(package, StandIn(), settings, 1)[0])
    scored = [component.name for component in package.manifest.calibration.components]  # the GPU computes no others
    cpu = package.with_trunk(
        HostReconstructor(OpenVinoSearcher(package, threads=1, components=scored), package.tiler, package.statistics),
        OpenVinoTrunk(tiny_graph(), threads=1),
    )
    frames = [np.random.default_rng(i).integers(0, 256, (32, 48), np.uint8) for i in range(2)]
    pending = [gpu.begin(frame) for frame in frames]
    for frame, finish in zip(frames, pending, strict=True):
        found, expected = finish(), cpu.begin(frame)()
        assert found.values[DISTANCE] == pytest.approx(expected.values[DISTANCE], abs=1e-3)
        assert set(found.values) == set(expected.values)
        assert np.median(np.abs(found.anomaly_map - expected.anomaly_map)) < 1e-2
    gpu.close()
    cpu.close()


def test_tensorrt_rtx_builds_the_engine(rtx: Any, package: ModelPackage, tmp_path: Path) -> None:
    """For a GPU that is not here; nothing but standard operators is in the graph."""
    engines = EngineSet.of_trunk(package, GpuSettings(cache=tmp_path, tensorrt="tensorrt_rtx"), rtx, (8, 9), "")
    assert (engines.batch, engines.precision) == (1, "fp32") and engines.states() == {TRUNK: "missing"}
    assert len(engines.plans()[TRUNK]) > 1000 and engines.states() == {TRUNK: "ready"}
