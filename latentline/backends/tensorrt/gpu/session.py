"""Everything that a searcher holds on a GPU, so that one call releases it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import pycuda.driver as cuda

from latentline.backends.tensorrt.gpu.batch_search import BatchSearch
from latentline.backends.tensorrt.gpu.capture import GraphDriver
from latentline.backends.tensorrt.gpu.device import Device, driver_errors
from latentline.backends.tensorrt.gpu.engine import Engine, start_runtime
from latentline.backends.tensorrt.gpu.first_look import LookEngine
from latentline.backends.tensorrt.gpu.frame_comparison import DeviceStatistics
from latentline.backends.tensorrt.gpu.frame_graph import FrameGraph, Slot
from latentline.backends.tensorrt.gpu.launch import KERNELS, Launch
from latentline.backends.tensorrt.gpu.memory import Arena
from latentline.backends.tensorrt.gpu.plan import FramePlan
from latentline.backends.tensorrt.gpu.repetition import Repetition
from latentline.base.counted import counted
from latentline.errors import BackendError, EngineError
from latentline.package.model_package import ModelPackage

_log = logging.getLogger(__name__)

MAX_SHAPES = 4  # of frames, whose graphs are kept
# Streams that do not synchronise with CUDA's default stream. If they did, another thread that uses that stream, for
# example by a plain cudaMemcpy, would break a capture in any mode.
_NON_BLOCKING = 1  # CU_STREAM_NON_BLOCKING, which pycuda does not name


class GpuSession:
    """Device, kernels, engines, and the graphs of the last few frame shapes.

    device     open; the session closes it, also when opening the session fails
    trt        the TensorRT module
    plans      the engines, by graph name
    kernels    kernels.cu, compiled
    loop       gives loop.cu, compiled; None: captured searches are unrolled
    in_flight  what was launched and not yet fetched, by ticket; closing the session drops it

    Raises BackendError and EngineError.
    """

    def __init__(
        self,
        device: Device,
        package: ModelPackage,
        trt: Any,
        plans: Mapping[str, bytes],
        kernels: bytes,
        loop: Callable[[], bytes] | None,
    ) -> None:
        self.device, self._package = device, package
        self.in_flight: dict[object, tuple[FrameGraph, Slot]] = {}
        self._graphs: dict[FramePlan, tuple[FrameGraph, Arena]] = {}
        self._searches: dict[int, tuple[BatchSearch, Arena]] = {}
        self._looks: dict[tuple[int, int], tuple[LookEngine, Arena]] = {}
        self._arena = Arena(device.integrated)
        self._closed = False
        try:
            with self.working("the GPU cannot be prepared for the search"):
                self._module = _load_module(kernels)
                # The driver loads a kernel when it is first asked for, which must not happen during a capture.
                self._functions = {name: self._module.get_function(name) for name in KERNELS}
                self._repetition = Repetition(GraphDriver(), loop)
                self.stream, self._upload_stream = (cuda.Stream(_NON_BLOCKING) for _ in range(2))
                self._runtime = start_runtime(trt)
                self._engines = {name: Engine(trt, self._runtime, name, plan) for name, plan in plans.items()}
                self._statistics = DeviceStatistics.on(self._arena, package.statistics)
        except BaseException:
            self.close()
            raise

    @property
    def unrolled(self) -> str | None:
        """Why captured searches are unrolled; None: each is a loop."""
        return self._repetition.unrolled

    @contextmanager
    def working(self, what: str) -> Iterator[None]:
        """As `Device.working`. Raises BackendError after `close`."""
        if self._closed:
            raise BackendError("this GPU searcher is closed; open another one")
        with self.device.working(what):
            yield

    def graph(self, plan: FramePlan) -> FrameGraph:
        """The graph of a plan: captured when first used, and kept while it is among the last few used."""
        kept = self._graphs.pop(plan, None)
        if kept is None:
            while len(self._graphs) >= MAX_SHAPES:
                self._release_graph(next(iter(self._graphs)))
            kept = self._capture(plan)
        self._graphs[plan] = kept
        return kept[0]

    def search(self, batch: int) -> BatchSearch:
        """The search of `batch` tiles. Memory and execution contexts are made when it is first used."""
        if batch not in self._searches:
            arena = Arena(self.device.integrated)
            try:
                with driver_errors(f"the search of {counted(batch, 'tile')} cannot be prepared"):
                    search = BatchSearch(self._package.spec, self._engines, self._run, batch, arena)
                    search.warm_up(self.stream, self._repetition.loop)
            except BaseException:
                arena.close()
                raise
            self._searches[batch] = search, arena
        return self._searches[batch][0]

    def look(self, shape: tuple[int, int]) -> LookEngine:
        """The first look at frames of this height and width, which is made when it is first used."""
        if shape not in self._looks:
            arena = Arena(self.device.integrated)
            try:
                with driver_errors(f"the first look at frames of {shape[1]} x {shape[0]} px cannot be prepared"):
                    look = LookEngine(self._package.spec, self._engines, shape, arena)
                    look.warm_up(self.stream)
            except BaseException:
                arena.close()
                raise
            self._looks[shape] = look, arena
        return self._looks[shape][0]

    def close(self) -> None:
        """Release everything, in any state and on any thread. Closing twice does nothing."""
        if self._closed:
            return
        self._closed = True
        try:
            with ExitStack() as stack:  # runs from last to first, and goes on after an error
                stack.callback(self.device.close)
                stack.enter_context(self.device.current(anywhere=True))
                stack.callback(self._drop)
                stack.callback(self._arena.close)
                for _, arena in (*self._searches.values(), *self._looks.values()):
                    stack.callback(arena.close)
                for graph, arena in self._graphs.values():
                    stack.callback(arena.close)
                    stack.callback(graph.close)
                stack.callback(cuda.Context.synchronize)
        except (BackendError, cuda.Error) as error:
            _log.warning("not everything on the GPU was released: %s", error)

    def _drop(self) -> None:
        """Drop streams, events, kernels and engines, while their context is current."""
        self.in_flight.clear()
        self._graphs.clear()
        self._searches.clear()
        self._looks.clear()
        for name in (
            "_engines",
            "_runtime",
            "_functions",
            "_module",
            "_repetition",
            "stream",
            "_upload_stream",
            "_statistics",
        ):
            self.__dict__.pop(name, None)

    def _capture(self, plan: FramePlan) -> tuple[FrameGraph, Arena]:
        search, look = self.search(plan.batch), None if plan.most is None else self.look(plan.look)
        arena = Arena(self.device.integrated)
        try:
            with driver_errors(f"the search of {plan.source[1]} x {plan.source[0]} px frames cannot be captured"):
                streams = self.stream, self._upload_stream
                made = self._statistics, self._run, self._repetition, streams, arena
                return FrameGraph(plan, search, look, *made), arena
        except BaseException:
            arena.close()
            raise

    def _release_graph(self, plan: FramePlan) -> None:
        """Release a graph, and each search and look that no other uses. Graphs in flight are too recent for that."""
        graph, arena = self._graphs.pop(plan)
        graph.close()
        arena.close()
        for batch in set(self._searches) - {other.batch for other in self._graphs}:
            self._searches.pop(batch)[1].close()
        for shape in set(self._looks) - {other.look for other in self._graphs}:
            self._looks.pop(shape)[1].close()

    def _run(self, launch: Launch, stream: cuda.Stream) -> None:
        function = self._functions[launch.name]
        function(*launch.arguments, grid=launch.grid, block=launch.block, shared=launch.shared, stream=stream)


def _load_module(kernels: bytes) -> cuda.Module:
    try:
        return cuda.module_from_buffer(kernels)
    except cuda.MemoryError:
        raise
    except (cuda.Error, UnicodeDecodeError) as error:
        # pycuda decodes the driver's log even when the driver wrote none, and then reads uninitialised bytes
        reason = error if isinstance(error, cuda.Error) else "it gives no readable reason"
        raise EngineError(
            f"the driver cannot load the kernels ({reason}); NVRTC must not be newer than the driver: see both "
            "versions with `doctor`, update the driver or install an older NVRTC, and delete the cache folder"
        ) from None
