"""The examination: facts about the machine, and each backend's comparisons and times."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from tempfile import TemporaryFile
from typing import Any

import numpy as np

from edge_runtime.tools.doctor.conformance import BackendComparison, conformance, example_frames
from edge_runtime.tools.doctor.facts import Fact, gpu_facts, machine_facts
from edge_runtime.tools.doctor.timing import Timing, timed
from latentline.backends.openvino.searcher import OpenVinoSearcher
from latentline.backends.openvino.trunk import OpenVinoTrunk, open_trunk
from latentline.backends.select import trunk_beside_gpu
from latentline.backends.selftest_check import STATION_TOLERANCE
from latentline.backends.settings import Backend, GpuSettings
from latentline.backends.tensorrt.cache import EngineCache
from latentline.backends.tensorrt.gpu.presence import import_pycuda, import_tensorrt
from latentline.backends.tensorrt.gpu.supported import require_supported
from latentline.base.counted import counted
from latentline.errors import EngineError, LatentlineError
from latentline.inspection.host_reconstructor import HostReconstructor
from latentline.package.model_package import ModelPackage
from latentline.trunk.extractor import TestedExtractor

_log = logging.getLogger(__name__)

Progress = Callable[[str], None]


@dataclass(frozen=True)
class BackendReport:
    """The results of one backend.

    problem      why it cannot run; then the rest is empty
    needed       a station would use it: it opened and then failed, or the configuration names it
    comparisons  openvino: with the float64 oracle; tensorrt: with the CPU
    frame_ms     time of one example frame, from the camera's frame to the components
    search_ms, graph_nodes, host_calls  of the CUDA graph; None on the CPU
    unrolled     why the search is in that graph iteration by iteration; None: it is a loop, or there is no graph
    """

    name: str
    problem: str | None = None
    needed: bool = False
    comparisons: tuple[BackendComparison, ...] = ()
    tiles: int = 0
    frame_ms: Timing | None = None
    search_ms: Timing | None = None
    graph_nodes: int | None = None
    unrolled: str | None = None
    host_calls: int | None = None

    @property
    def passed(self) -> bool:
        """Whether it ran and every comparison is within its bound."""
        return self.problem is None and all(comparison.passed for comparison in self.comparisons)


@dataclass
class DoctorReport:
    """The doctor's report. iterations, precision: of the timed search."""

    iterations: int
    precision: str
    facts: list[Fact] = field(default_factory=list)
    backends: list[BackendReport] = field(default_factory=list)
    created: str = field(default_factory=lambda: datetime.now(timezone.utc).isoformat(timespec="seconds"))

    def to_json(self) -> dict[str, Any]:
        """The whole report, for a program. When a GPU was timed, `search_ms` and `batch` are top-level keys."""
        backends = [{**asdict(backend), "passed": backend.passed} for backend in self.backends]
        for backend, report in zip(backends, self.backends, strict=True):
            for row, comparison in zip(backend["comparisons"], report.comparisons, strict=True):
                row["passed"] = comparison.passed
        timed_on_gpu: dict[str, Any] = {}
        for report in self.backends:
            if report.search_ms is not None:
                timed_on_gpu = {"search_ms": report.search_ms.median, "batch": report.tiles}
        return {
            "created": self.created,
            "device": next((fact.value.split(",")[0] for fact in self.facts if fact.topic == "GPU" and fact.ok), None),
            "iterations": self.iterations,
            "precision": self.precision,
            **timed_on_gpu,
            "facts": [asdict(fact) for fact in self.facts],
            "backends": backends,
        }

    @property
    def passed(self) -> bool:
        """Whether at least one backend ran, and each that ran, or is needed, agrees with its reference."""
        examined = [backend for backend in self.backends if backend.problem is None or backend.needed]
        return bool(examined) and all(backend.passed for backend in examined)


def examine(
    package: ModelPackage, backend: Backend, settings: GpuSettings, seconds: float, progress: Progress
) -> DoctorReport:
    """Examine this machine with `package`. Times each backend for about `seconds`.

    backend  the station's setting: with "tensorrt" the CPU alone does not pass
    """
    facts = [*machine_facts(), *gpu_facts(), *package_facts(package), *cache_facts(package, settings)]
    report = DoctorReport(package.spec.search.iterations, settings.precision, facts)
    progress("searching on the CPU")
    cpu, trunk = OpenVinoSearcher(package), open_trunk(package)
    try:
        report.backends.append(_cpu_report(package, cpu, trunk, seconds))
        progress("searching with TensorRT (builds the engines that are not in the cache first, which takes minutes)")
        report.backends.append(_tensorrt_report(package, cpu, backend, settings, seconds, progress))
    finally:
        cpu.close()
        if trunk is not None:
            trunk.close()
    return report


def package_facts(package: ModelPackage) -> Iterator[Fact]:
    """Facts about the model."""
    spec, search = package.manifest, package.spec.search
    yield Fact("model", f"{spec.name}, sha256 {package.model_hash[:12]}…, made by latentline {spec.code_version}", True)
    channels = "grey" if spec.channels == 1 else "colour"
    yield Fact(
        "search", f"{spec.tile_size} px {channels} tiles, {counted(search.iterations, 'iteration')} from {search.init}"
    )
    if spec.preprocessing.region is not None:
        yield Fact("region of interest", str(spec.preprocessing.region))
    if package.trunk is not None:
        trunk, names = package.trunk.spec, ", ".join(package.trunk.scales.scales)
        yield Fact("trunk", f"{trunk.network} ({trunk.licence}) on {trunk.width} x {trunk.height} px, for {names}")


def cache_facts(package: ModelPackage, settings: GpuSettings) -> Iterator[Fact]:
    """Facts about the engine cache: its folder, whether it can be written, and which engines of the model it has."""
    try:
        cache = EngineCache(settings.cache)
    except EngineError as error:
        yield Fact("engine cache", str(error), False)
        return
    try:
        cache.folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=cache.folder):
            yield Fact("engine cache", str(cache.folder), True)
    except OSError as error:
        yield Fact("engine cache", f"{cache.folder} cannot be written ({error.strerror}); set gpu.cache", False)
    try:
        require_supported(package)
        device = import_pycuda().Device(0)
        trt = import_tensorrt(settings.tensorrt)
    except LatentlineError:
        return
    from latentline.backends.tensorrt.engines.engine_set import EngineSet

    engines = EngineSet.of(package, settings, trt, device.compute_capability(), device.name())
    for graph, state in engines.states().items():
        yield Fact(
            f"engine of {graph}", f"{state} ({engines.precision}, at most {counted(engines.batch, 'tile')} at a time)"
        )
    if package.trunk is not None:
        beside = EngineSet.of_trunk(package, settings, trt, device.compute_capability(), device.name())
        yield from (Fact(f"engine of {graph}", f"{state} (fp32)") for graph, state in beside.states().items())


def _cpu_report(
    package: ModelPackage, cpu: OpenVinoSearcher, trunk: OpenVinoTrunk | None, seconds: float
) -> BackendReport:
    frame = example_frames(package, cpu)["a camera's frame"]
    host = package.with_trunk(HostReconstructor(cpu, package.tiler, package.statistics), trunk)
    first, again = host.begin(frame)(), host.begin(frame)()
    repeated = float(np.max(np.abs(first.anomaly_map - again.anomaly_map)))
    comparisons = (
        BackendComparison("self-test against the float64 oracle", cpu.self_test(), STATION_TOLERANCE),
        *_trunk_comparison(trunk),
        BackendComparison("the same frame again", repeated, 0.0),
    )
    frame_ms = timed(lambda: host.begin(frame)(), seconds)
    return BackendReport("openvino", comparisons=comparisons, tiles=len(first.plan.corners), frame_ms=frame_ms)


def _trunk_comparison(trunk: TestedExtractor | None) -> Iterator[BackendComparison]:
    if trunk is not None:
        yield BackendComparison(f"self-test of the trunk ({trunk.name})", trunk.self_test(), STATION_TOLERANCE)


def _tensorrt_report(
    package: ModelPackage,
    cpu: OpenVinoSearcher,
    backend: Backend,
    settings: GpuSettings,
    seconds: float,
    progress: Progress,
) -> BackendReport:
    try:
        require_supported(package)
        import_pycuda()
        trt = import_tensorrt(settings.tensorrt)
        from latentline.backends.tensorrt.searcher import open_tensorrt

        searcher = open_tensorrt(package, trt, settings)
    except LatentlineError as error:
        return BackendReport("tensorrt", problem=str(error), needed=backend == "tensorrt")
    try:
        comparisons = []
        for comparison in conformance(package, cpu, searcher, settings.precision):
            progress(f"{comparison.what}: {comparison.measured:.2g}")
            comparisons.append(comparison)
        frame = example_frames(package, cpu)["a camera's frame"]
        extractor, _ = trunk_beside_gpu(package, trt, settings, None)
        try:
            comparisons += _trunk_comparison(extractor)
            whole = package.with_trunk(searcher, extractor)
            frame_ms = timed(lambda: whole.begin(frame)(), seconds)
        finally:
            if extractor is not None:
                extractor.close()
        measured = [searcher.measure(frame) for _ in range(max(5, frame_ms.repeats))]
    except LatentlineError as error:
        return BackendReport("tensorrt", problem=str(error), needed=True)
    finally:
        searcher.close()
    return BackendReport(
        "tensorrt",
        comparisons=tuple(comparisons),
        tiles=measured[0].tiles,
        frame_ms=frame_ms,
        search_ms=Timing.of([measurement.device_ms for measurement in measured]),
        graph_nodes=measured[0].nodes,
        unrolled=measured[0].unrolled,
        host_calls=measured[0].host_calls,
    )
