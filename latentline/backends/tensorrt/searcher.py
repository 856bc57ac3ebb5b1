"""The GPU backend: TensorRT engines and CUDA kernels, captured as one CUDA graph for a frame."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt

from latentline.backends.selftest_check import STATION_TOLERANCE, Tolerance, check_selftest
from latentline.backends.settings import GpuSettings, Precision
from latentline.backends.tensorrt.engines.engine_set import EngineSet
from latentline.backends.tensorrt.gpu.device import Device
from latentline.backends.tensorrt.gpu.frame_graph import SLOTS, FrameGraph, Slot
from latentline.backends.tensorrt.gpu.kernel_cache import cached_kernels, cached_loop
from latentline.backends.tensorrt.gpu.plan import FramePlan
from latentline.backends.tensorrt.gpu.session import GpuSession
from latentline.backends.tensorrt.gpu.supported import require_supported
from latentline.base.counted import counted
from latentline.errors import BackendError
from latentline.inspection.reconstructor import ReconstructedFrame
from latentline.package.model_package import ModelPackage
from latentline.scoring.components import LOOK, look_component, tile_components
from latentline.scoring.maps import PATCH, PixelStatistics
from latentline.search.first_look import patch_map
from latentline.search.searched_frame import spread_over_frame
from latentline.search.searcher import SearchResult, TileScores

Float = npt.NDArray[np.float32]
UInt8 = npt.NDArray[np.uint8]

# For the self-test. Rounding to half takes some activations across their kinks, which moves the gradient: by up to 0.16
# in all with the demo's model, emulated on a CPU. Gradients that have nothing in common are 1.4 apart.
TOLERANCES: dict[Precision, Tolerance] = {
    "fp32": Tolerance(STATION_TOLERANCE, STATION_TOLERANCE),
    "fp16": Tolerance(5e-3, 0.5),
}


@dataclass(frozen=True)
class MeasuredFrame:
    """One frame on the GPU.

    device_ms   from before the launch to the last download, by CUDA events
    nodes       operations in the CUDA graph of the frame; those of a loop count once
    unrolled    why the iterations of the search are in the graph one by one; None: they are a loop
    host_calls  calls into the driver for this frame
    tiles       number of tiles searched
    """

    device_ms: float
    nodes: int
    unrolled: str | None
    host_calls: int
    tiles: int


class TensorRtSearcher:
    """`Reconstructor` and `Searcher` on an NVIDIA GPU. Only the thread that opens it may use it.

    device     open; `close` closes it
    trt        the TensorRT module
    plans      the engines of `package`, by graph name
    kernels    kernels.cu, compiled
    loop       gives loop.cu, compiled; None: the search's iterations are in the graph one by one
    batch      the most tiles that the engines take at a time
    precision  of the engines
    Opening runs the package's self-test on the engine. Raises BackendError, EngineError, VerificationError.
    """

    name = "tensorrt"
    ahead = SLOTS

    def __init__(
        self,
        device: Device,
        package: ModelPackage,
        trt: Any,
        plans: Mapping[str, bytes],
        kernels: bytes,
        loop: Callable[[], bytes] | None,
        batch: int,
        precision: Precision,
    ) -> None:
        self._package, self._max_batch, self.precision = package, batch, precision
        self._session = GpuSession(device, package, trt, plans, kernels, loop)
        self._release = weakref.finalize(self, self._session.close)
        try:
            check_selftest(self.step, require_supported(package), TOLERANCES[precision])
        except BaseException:
            self.close()
            raise

    def reconstruct(self, frame: UInt8) -> ReconstructedFrame:
        """Search a frame uint8 [H, W] or [H, W, C], and wait for the result. Raises as `begin` does."""
        return self.begin(frame)()

    def begin(self, frame: UInt8) -> Callable[[], ReconstructedFrame]:
        """Upload a frame uint8 [H, W] or [H, W, C] and launch its search. Returns a function that waits for the result.

        Call that function once. Raises ImageError for an unusable frame, BackendError when `ahead` frames are in flight
        or the GPU fails; the function raises BackendError when the GPU fails.
        """
        return partial(self._finish, self._launch_frame(frame))

    def _finish(self, ticket: object) -> ReconstructedFrame:
        start = perf_counter()
        with self._result(ticket) as (graph, slot):
            waited = 1e3 * (perf_counter() - start)
            count = graph.plan.searched
            chosen = None if slot.chosen is None else slot.chosen.host[:count].astype(np.intp)
            components = tile_components(TileScores(**_tile_values(slot, count)))
            look = {} if slot.look is None else {LOOK: look_component(slot.look.host)}
            pooled = [name for name in self._package.statistics.names if name != PATCH]
            reconstructed = ReconstructedFrame(
                prepared=slot.prepared.host.copy(),
                plan=graph.plan.tiles,
                anomaly_map=slot.anomaly_map.host.copy(),
                reconstruction=slot.picture.host.copy(),
                values={**dict(zip([*pooled, *components], slot.values.host.tolist(), strict=True)), **look},
                tile_values=components,
                milliseconds={"search": waited},
                searched=chosen,
            )
            of_patches = _patch_map(slot, graph.plan)
        if of_patches is None or self._package.statistics.patch_statistics is None:
            return reconstructed
        return _with_patch_map(reconstructed, of_patches, self._package.statistics)

    def search(self, tiles: UInt8) -> SearchResult:
        """Search tiles uint8 [N, S, S, C], stacked into one frame, with the graph that inspects frames.

        Raises ValueError for tiles of another shape, BackendError.
        """
        spec, count = self._package.spec, len(tiles)
        if not count or tiles.shape[1:] != (spec.tile_size, spec.tile_size, spec.channels):
            wanted = f"[N, {spec.tile_size}, {spec.tile_size}, {spec.channels}]"
            raise ValueError(f"tiles must be uint8 {wanted}, not {tiles.shape}")
        plan = FramePlan.stacked(count, spec.tile_size, spec.channels, self._max_batch)
        with self._result(self._launch(plan, tiles)) as (graph, slot):
            with self._session.working("the reconstruction cannot be read"):
                reconstruction = graph.reconstruction.read()[:count].astype(np.float32)
            z = slot.z.host[:count].copy()
            fields = {"z": z, "reconstruction": reconstruction, **_tile_values(slot, count)}
            return SearchResult(**fields, patch_logits=_patch_logits(slot, count))

    def trace(self, tiles: UInt8) -> Float:
        """L' [iterations, N] before the step of each iteration, for tiles uint8 [N, S, S, C]. Raises BackendError."""
        chunks = []
        for first in range(0, len(tiles), self._max_batch):
            some = tiles[first : first + self._max_batch]
            self.search(some)
            with self._session.working("the loss curve cannot be read"):
                chunks.append(self._session.search(len(some)).trace.read())
        return np.concatenate(chunks, axis=1)[: self._package.spec.search.iterations]

    def step(self, z: Float, x: Float, fx: Float) -> tuple[Float, Float]:
        """One search step of each row, as `OpenVinoSearcher.step`: loss [N] and grad_z [N, L]."""
        batch = min(len(z), self._max_batch)
        session = self._session
        with session.working("the search step failed on the GPU"):
            chunks = [
                session.search(batch).step(z[i : i + batch], x[i : i + batch], fx[i : i + batch], session.stream)
                for i in range(0, len(z), batch)
            ]
        loss, gradient = zip(*chunks, strict=True)
        return np.concatenate(loss), np.concatenate(gradient)

    def measure(self, frame: UInt8) -> MeasuredFrame:
        """Inspect `frame` once, timed by the GPU's clock between the events around its launch."""
        with (
            self._result(self._launch_frame(frame)) as (graph, slot),
            self._session.working("the GPU's clock cannot be read"),
        ):
            milliseconds = slot.started.time_till(slot.done)
            counts = graph.nodes, self._session.unrolled, graph.host_calls, graph.plan.searched
            return MeasuredFrame(milliseconds, *counts)

    def close(self) -> None:
        """Release the GPU. Closing twice does nothing."""
        self._release()

    def _launch_frame(self, frame: UInt8) -> object:
        """Launch the search of a camera's frame, and return its ticket."""
        plan = FramePlan.of(frame, self._package.tiler, self._max_batch)
        source = frame if plan.source != plan.prepared else self._package.tiler.preprocessing.apply(frame)
        return self._launch(plan, source)

    def _launch(self, plan: FramePlan, source: UInt8) -> object:
        session, ticket = self._session, object()
        with session.working("the GPU did not take the frame"):
            if len(session.in_flight) >= self.ahead:
                raise BackendError(f"{counted(self.ahead, 'frame is', 'frames are')} in flight; finish one first")
            graph = session.graph(plan)
            session.in_flight[ticket] = graph, graph.submit(source)
        return ticket

    @contextmanager
    def _result(self, ticket: object) -> Iterator[tuple[FrameGraph, Slot]]:
        """Wait for a launch, and keep its slot while the results are read."""
        with ExitStack() as stack:
            with self._session.working("the search failed on the GPU"):
                graph, slot = self._session.in_flight.pop(ticket)
                stack.callback(graph.release, slot)
                slot.done.synchronize()
            yield graph, slot


def open_tensorrt(
    package: ModelPackage, trt: Any, settings: GpuSettings, *, unrolled: bool = False
) -> TensorRtSearcher:
    """A searcher on the first GPU. Engines and kernels come from the cache, or are built now.

    unrolled  put every iteration of the search into the graph, also where the driver has loops: to compare the two
    Raises BackendError, EngineError, VerificationError.
    """
    device = Device()
    try:
        engines = EngineSet.of(package, settings, trt, device.compute_capability, device.name)
        plans = engines.plans()
        kernels = cached_kernels(engines.cache, device.compute_capability, settings.precision)
    except BaseException:
        device.close()
        raise
    loop = None if unrolled else partial(cached_loop, engines.cache, device.compute_capability)
    return TensorRtSearcher(device, package, trt, plans, kernels, loop, engines.batch, settings.precision)


def _with_patch_map(
    reconstructed: ReconstructedFrame, of_patches: Float, statistics: PixelStatistics
) -> ReconstructedFrame:
    """Add the patch head's map. The host computes it, because it is a few pixels for each tile."""
    plane = statistics.standardise_patch_map(of_patches)
    anomaly_map = np.maximum(reconstructed.anomaly_map, plane)
    return replace(
        reconstructed, anomaly_map=anomaly_map, values={**reconstructed.values, PATCH: max(0.0, float(plane.max()))}
    )


def _patch_map(slot: Slot, plan: FramePlan) -> Float | None:
    """As `SearchedFrame.patch_map`."""
    if slot.look_patches is not None:
        return patch_map(slot.look_patches.host, plan.tiles.size, plan.prepared)
    logits = _patch_logits(slot, plan.searched)
    return None if logits is None else spread_over_frame(-logits, plan.tiles, plan.prepared)


def _patch_logits(slot: Slot, count: int) -> Float | None:
    return None if slot.patch_logits is None else slot.patch_logits.host[:count].copy()


def _tile_values(slot: Slot, count: int) -> dict[str, Float]:
    """Copies of the fields of `TileScores`, [count]."""
    return {name: mirror.host[:count].copy() for name, mirror in slot.tile_values.items()}
