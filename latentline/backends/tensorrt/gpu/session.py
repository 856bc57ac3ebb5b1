"""Everything a searcher holds on a GPU, in one place, so that one call releases it."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import pycuda.driver as cuda

from latentline.backends.tensorrt.gpu.batch_search import BatchSearch
from latentline.backends.tensorrt.gpu.capture import GraphDriver
from latentline.backends.tensorrt.gpu.device import Device, driver_errors
from latentline.backends.tensorrt.gpu.engine import Engine, start_runtime
from latentline.backends.tensorrt.gpu.frame_graph import DeviceStatistics, FrameGraph, Slot
from latentline.backends.tensorrt.gpu.launches import KERNELS, Launch
from latentline.backends.tensorrt.gpu.memory import Arena
from latentline.backends.tensorrt.gpu.plan import FramePlan
from latentline.errors import BackendError, EngineError
from latentline.package.model_package import ModelPackage

_log = logging.getLogger(__name__)

MOST_SHAPES = 4  # of frames, whose graphs are kept
# Streams that owe nothing to CUDA's default stream: another thread's use of that one, a plain cudaMemcpy say, would
# break a capture, whatever its mode.
_NON_BLOCKING = 1  # CU_STREAM_NON_BLOCKING, which pycuda does not name


class GpuSession:
    """Device, kernels, engines, and the graph of every frame shape met lately.

    device  open, and closed with the session, also when opening fails
    trt     the TensorRT module; plans: its engines by graph name; kernels: the compiled kernels.cu
    `in_flight` holds what was launched and not yet fetched, by a ticket, so that closing takes it along.
    Raises BackendError and EngineError.
    """

    def __init__(
        self, device: Device, package: ModelPackage, trt: Any, plans: Mapping[str, bytes], kernels: bytes
    ) -> None:
        self.device, self._package = device, package
        self.in_flight: dict[object, tuple[FrameGraph, Slot]] = {}
        self._graphs: dict[FramePlan, tuple[FrameGraph, Arena]] = {}
        self._searches: dict[int, tuple[BatchSearch, Arena]] = {}
        self._arena = Arena(device.integrated)
        self._closed = False
        self._ended: str | None = None  # why nothing can be done any more
        try:
            with self.working("the GPU cannot be prepared for the search"):
                self._driver = GraphDriver()
                self._module = _loaded(kernels)
                # now, for the driver loads a kernel when it is first asked for, and within a capture it must not
                self._functions = {name: self._module.get_function(name) for name in KERNELS}
                self.stream, self._upload_stream = (cuda.Stream(_NON_BLOCKING) for _ in range(2))
                self._runtime = start_runtime(trt)
                self._engines = {name: Engine(trt, self._runtime, name, plan) for name, plan in plans.items()}
                self._statistics = DeviceStatistics.on(self._arena, package.statistics)
        except BaseException:
            self.close()
            raise

    @contextmanager
    def working(self, what: str) -> Iterator[None]:
        """The context made current, for work in the owner's thread; the driver's errors become BackendError.

        `what` begins the sentence. When the context is lost, this and every later work says so.
        """
        if self._ended is not None:
            raise BackendError(self._ended)
        with driver_errors(what), self.device.current():
            try:
                yield
            except (BackendError, cuda.Error) as error:
                try:
                    cuda.Context.synchronize()
                except cuda.Error:
                    self._ended = f"{what}: {error}; the GPU's context is lost with it: restart this process"
                    raise BackendError(self._ended) from None
                raise

    def graph(self, plan: FramePlan) -> FrameGraph:
        """The graph of a plan: captured at its first use, kept while it is among the last few used."""
        found = self._graphs.pop(plan, None)
        if found is None:
            while len(self._graphs) >= MOST_SHAPES:
                self._forget(next(iter(self._graphs)))
            found = self._captured(plan)
        self._graphs[plan] = found
        return found[0]

    def search(self, batch: int) -> BatchSearch:
        """The search of `batch` tiles: memory and engine executions, made at first use."""
        if batch not in self._searches:
            arena = Arena(self.device.integrated)
            try:
                with driver_errors(f"no room for the search of {batch} tiles"):
                    search = BatchSearch(self._package.spec, self._engines, self._run, batch, arena)
                    search.warm_up(self.stream)
            except BaseException:
                arena.close()
                raise
            self._searches[batch] = search, arena
        return self._searches[batch][0]

    def close(self) -> None:
        """Release everything, in any state and on any thread; may be called again."""
        if self._closed:
            return
        self._closed, self._ended = True, self._ended or "this GPU searcher is closed; open another one"
        try:
            with ExitStack() as stack:  # runs from last to first, each whatever became of the others
                stack.callback(self.device.close)
                stack.enter_context(self.device.current(anywhere=True))
                stack.callback(self._drop)
                stack.callback(self._arena.close)
                for _, arena in self._searches.values():
                    stack.callback(arena.close)
                for graph, arena in self._graphs.values():
                    stack.callback(arena.close)
                    stack.callback(graph.close)
                stack.callback(cuda.Context.synchronize)
        except (BackendError, cuda.Error) as error:
            _log.warning("the GPU did not release everything: %s", error)

    def _drop(self) -> None:
        """Let go of streams, events, kernels and engines, while the context they belong to is current."""
        self.in_flight.clear()
        self._graphs.clear()
        self._searches.clear()
        for name in ("_engines", "_runtime", "_functions", "_module", "stream", "_upload_stream", "_statistics"):
            self.__dict__.pop(name, None)

    def _captured(self, plan: FramePlan) -> tuple[FrameGraph, Arena]:
        search = self.search(plan.batch)
        arena = Arena(self.device.integrated)
        try:
            with driver_errors(f"the search of {plan.source[1]} x {plan.source[0]} px frames cannot be captured"):
                streams = self.stream, self._upload_stream
                return FrameGraph(plan, search, self._statistics, self._run, self._driver, streams, arena), arena
        except BaseException:
            arena.close()
            raise

    def _forget(self, plan: FramePlan) -> None:
        """Release a graph, and every search that no other graph uses. Never one in flight: those were used last."""
        graph, arena = self._graphs.pop(plan)
        graph.close()
        arena.close()
        for batch in set(self._searches) - {kept.batch for kept in self._graphs}:
            self._searches.pop(batch)[1].close()

    def _run(self, launch: Launch, stream: cuda.Stream) -> None:
        function = self._functions[launch.name]
        function(*launch.arguments, grid=launch.grid, block=launch.block, shared=launch.shared, stream=stream)


def _loaded(kernels: bytes) -> cuda.Module:
    try:
        return cuda.module_from_buffer(kernels)
    except cuda.MemoryError:
        raise
    except (cuda.Error, UnicodeDecodeError) as error:
        # pycuda decodes the driver's log also where the driver refused before it wrote one: then it holds any bytes
        reason = error if isinstance(error, cuda.Error) else "it says no reason that can be read"
        raise EngineError(
            f"the driver cannot load the kernels ({reason}); they must be compiled by an NVRTC that is not newer than "
            "it: see `doctor` for both versions, put that right, and delete the cache folder"
        ) from None
