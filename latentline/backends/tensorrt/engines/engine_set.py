"""All engines of a model: prepared, checked, built and cached. The export command and the station both use it."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from latentline.backends.settings import GpuSettings, Precision
from latentline.backends.tensorrt.cache import EngineCache
from latentline.backends.tensorrt.engines.builder import (
    WORKSPACE,
    ComputeCapability,
    Progress,
    build_engine,
    version_of,
)
from latentline.backends.tensorrt.fp16.check import check_half
from latentline.backends.tensorrt.gpu.supported import require_supported
from latentline.backends.tensorrt.graphs.features import graphs_for
from latentline.backends.tensorrt.graphs.prepare import REVISION, prepare_graph
from latentline.base.counted import counted
from latentline.package.manifest import Manifest
from latentline.package.model_package import FIRST_LOOK, TRUNK, ModelPackage, SearchModel

log = logging.getLogger(__name__)

_TIMINGS = "timings"


@dataclass(frozen=True)
class EngineSet:
    """The engines of all graphs of `model`, for one GPU, one TensorRT, one precision and one batch.

    batch               the most tiles that an engine takes at a time
    trt                 the module tensorrt or tensorrt_rtx
    compute_capability  (major, minor) of the GPU that will run them
    gpu                 its name, because TensorRT chooses kernels for that GPU; empty for TensorRT-RTX, whose engines
                        run on every GPU of the compute capability
    workspace_bytes     limit of TensorRT's scratch memory
    """

    model: SearchModel
    batch: int
    precision: Precision
    trt: Any
    cache: EngineCache
    compute_capability: ComputeCapability
    gpu: str = ""
    workspace_bytes: int = WORKSPACE

    @classmethod
    def of(
        cls, package: ModelPackage, settings: GpuSettings, trt: Any, compute_capability: ComputeCapability, gpu: str
    ) -> EngineSet:
        """The engines that a station with `settings` needs on this GPU. Raises BackendError: unsupported package."""
        require_supported(package)
        return cls(
            model=replace(package, graphs=graphs_for(package)),
            batch=settings.batch_for(package.spec.tile_size),
            precision=settings.precision,
            trt=trt,
            cache=EngineCache(settings.cache),
            compute_capability=compute_capability,
            gpu=gpu if settings.tensorrt == "tensorrt" else "",
            workspace_bytes=settings.workspace_mib << 20,
        )

    @classmethod
    def of_trunk(
        cls, package: ModelPackage, settings: GpuSettings, trt: Any, compute_capability: ComputeCapability, gpu: str
    ) -> EngineSet:
        """The engine of the package's trunk, which it must have: float32, for one frame. Raises as `of`."""
        assert package.trunk is not None
        trunk = SearchModel(package.spec, {TRUNK: package.trunk.graph}, package.selftest)
        return replace(cls.of(package, settings, trt, compute_capability, gpu), model=trunk, batch=1, precision="fp32")

    def plans(self, progress: Progress = log.info) -> dict[str, bytes]:
        """The serialised engine of each graph, by the graph's file name. Missing engines are built now.

        In fp16 a calibrated model is checked once, before. Raises VerificationError when fp16 moves its score too far,
        EngineError when an engine cannot be built or the cache cannot be written.
        """
        if self.precision == "fp16" and isinstance(self.model, ModelPackage):
            check_half(self.model, self.cache, progress)
        return {
            graph: self.cache.fetch(self._name(graph), self._fingerprint(graph), partial(self._build, graph, progress))
            for graph in self._wanted()
        }

    def states(self) -> dict[str, str]:
        """The state of each graph's engine in the cache: "ready", "missing", or "stale: " and the reason."""
        return {graph: self.cache.state(self._name(graph), self._fingerprint(graph)) for graph in self._wanted()}

    def _wanted(self) -> list[str]:
        """The graphs that the GPU runs: where it searches all tiles, it needs no first look."""
        looks = self.model.spec.search.most_tiles is not None
        return sorted(set(self.model.graphs) - (set() if looks else {FIRST_LOOK}))

    def _name(self, graph: str) -> str:
        """Model, graph, precision and batch: their engines lie side by side in the cache."""
        title = self.model.spec.name if isinstance(self.model.spec, Manifest) else "model"
        return f"{title}.{graph.removesuffix('.onnx')}.{self.precision}.batch{self.batch}"

    def _fingerprint(self, graph: str) -> dict[str, str]:
        """Everything an engine depends on."""
        return {
            "graph": hashlib.sha256(self.model.graphs[graph]).hexdigest(),
            "batch": str(self.batch),
            "precision": self.precision,
            "preparation": str(REVISION),
            **self._machine(),
        }

    def _machine(self) -> dict[str, str]:
        major, minor = self.compute_capability
        return {"TensorRT": version_of(self.trt), "compute capability": f"{major}.{minor}", "GPU": self.gpu}

    def _build(self, graph: str, progress: Progress) -> bytes:
        """Build one engine, reusing the timings of earlier builds for this GPU."""
        tiles = counted(self.batch, "tile")
        progress(f"{graph}: building for {self.precision}, up to {tiles} at a time; this may take minutes")
        built = build_engine(
            self.trt,
            prepare_graph(self.model.graphs[graph], graph, self.precision),
            graph,
            self.precision,
            self.batch,
            tile_size=self.model.spec.tile_size,
            workspace_bytes=self.workspace_bytes,
            timing_cache=self.cache.load(_TIMINGS, self._machine()) or b"",
            compute_capability=self.compute_capability,
            progress=progress,
        )
        if built.timing_cache:
            self.cache.store(_TIMINGS, self._machine(), built.timing_cache)
        return built.plan
