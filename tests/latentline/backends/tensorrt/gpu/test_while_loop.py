"""Loops in graphs, on the emulated driver: real ctypes calls, the host-built kernel that ends an iteration."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from latentline.backends.tensorrt.gpu import tile_launches
from latentline.errors import BackendError
from tests.fake_cuda.conftest import cuda, primary_context
from tests.fake_cuda.driver import FakeDriver
from tests.fake_cuda.host_kernels import Buffer, HostKernels, build_host_kernels
from tests.fake_cuda.raw_calls import RawCalls
from tests.paths import FAKE_CUDA

__all__ = ["cuda", "primary_context"]

PTX = b".version 8.0\n.target sm_75\n.visible .entry next_iteration(.param .u64 p)\n{ ret; }\n\0"

Work = Callable[[Any], None]


class Recorder:
    """Captures loops whose body counts a number up."""

    def __init__(self, driver: FakeDriver, cuda: Any) -> None:
        from latentline.backends.tensorrt.gpu.capture import GraphDriver
        from latentline.backends.tensorrt.gpu.while_loop import WhileLoop

        driver.use_kernels(build_host_kernels("fp32", FAKE_CUDA))
        self._driver, self._cuda = driver, cuda
        self.graphs, self.raw = GraphDriver(), RawCalls()
        self.loop, self.stream = WhileLoop(self.graphs, lambda: PTX), cuda.Stream(1)
        self.iteration, self.runs = cuda.mem_alloc(4), 0

    def body(self, stream: Any) -> None:
        """Count one run, as work that stands for a kernel."""
        self._driver.annotate("body")
        self.raw.host_function(stream.handle, self._ran)

    def capture(self, body: Work, iterations: int, loops: int = 1) -> Any:
        """A graph of so many loops, one after the other."""

        def enqueue() -> None:
            for _ in range(loops):
                self._cuda.memset_d8_async(self.iteration, 0, 4, self.stream)
                self.loop.repeat(self.stream, body, int(self.iteration), iterations)

        return self.graphs.capture(self.stream, enqueue)

    def launch(self, graph: Any) -> int:
        """How often the body runs in one launch."""
        before = self.runs
        graph.launch(self.stream)
        self.stream.synchronize()
        return self.runs - before

    def _ran(self) -> None:
        self.runs += 1


@pytest.fixture
def recorder(fake_driver: FakeDriver, cuda: Any) -> Iterator[Recorder]:
    made = Recorder(fake_driver, cuda)
    yield made
    made.iteration.free()
    del made.loop, made.stream


def test_a_body_runs_as_often_as_it_counts(recorder: Recorder, fake_driver: FakeDriver) -> None:
    """At every launch again, whatever was there before; and there is one node for it."""
    for iterations in (1, 7):
        graph = recorder.capture(recorder.body, iterations)
        assert graph.nodes == 2
        assert [recorder.launch(graph) for _ in range(3)] == [iterations] * 3
        graph.close()
    assert recorder.loop.nodes == 4, "of two bodies: the work, and the end of an iteration"
    assert fake_driver.reports() == []


def test_loops_follow_one_another_in_one_graph(recorder: Recorder) -> None:
    """Each has its own condition and its own count."""
    graph = recorder.capture(recorder.body, 3, loops=4)
    assert recorder.launch(graph) == 12
    graph.close()


def test_work_around_a_loop_waits_for_it(recorder: Recorder, fake_driver: FakeDriver, cuda: Any) -> None:
    """What is enqueued before the loop runs before it, what is enqueued after it runs after it."""
    memory = cuda.mem_alloc(16)

    def enqueue() -> None:
        cuda.memset_d8_async(memory, 0, 8, recorder.stream)
        cuda.memset_d8_async(recorder.iteration, 0, 4, recorder.stream)
        recorder.loop.repeat(recorder.stream, recorder.body, int(recorder.iteration), 2)
        cuda.memset_d8_async(memory, 0, 16, recorder.stream)

    graph = recorder.graphs.capture(recorder.stream, enqueue)
    recorder.launch(graph)
    ran = [line.rpartition(": ")[2] for line in fake_driver.timeline()]
    once = ["body", "kernel next_iteration"]
    assert ran == ["fill, 8 bytes", "fill, 4 bytes", *once, *once, "fill, 16 bytes"]
    graph.close()


def test_a_body_that_fails_ends_both_captures(recorder: Recorder) -> None:
    """Its error comes through, nothing is left of either capture, and the next one succeeds."""

    def broken(stream: Any) -> None:
        raise BackendError("no engine today")

    def forbidden(stream: Any) -> None:
        recorder.raw.host_function(stream.handle, lambda: None)  # without a name it is the host's own work

    with pytest.raises(BackendError, match="no engine today"):
        recorder.capture(broken, 2)
    with pytest.raises(BackendError, match="the capture of a loop was invalidated"):
        recorder.capture(forbidden, 2)
    graph = recorder.capture(recorder.body, 2)
    assert recorder.launch(graph) == 2
    graph.close()


def test_a_condition_without_a_loop_makes_no_graph(recorder: Recorder, cuda: Any) -> None:
    """As on the driver, a graph with an unused condition is refused, and it takes its conditions with it."""
    raw, stream, graph = recorder.raw, recorder.stream, ctypes.c_size_t()
    raw.begin(stream.handle)
    status, number, after = ctypes.c_int(), ctypes.c_ulonglong(), ctypes.c_size_t()
    edges, count = ctypes.c_size_t(), ctypes.c_size_t()
    outputs = map(ctypes.byref, (status, number, graph, after, edges, count))
    assert raw("cuStreamGetCaptureInfo_v3", stream.handle, *outputs) == "SUCCESS"
    context = cuda.Context.get_current().handle
    condition = ctypes.c_ulonglong()
    create = "cuGraphConditionalHandleCreate", ctypes.byref(condition), graph, context, 1, 1
    assert raw(*create) == "SUCCESS"
    answer, captured = raw.end(stream.handle)
    executable = ctypes.c_size_t()
    assert (answer, captured) == ("SUCCESS", graph.value)
    assert raw("cuGraphInstantiateWithFlags", ctypes.byref(executable), captured, 0) == "INVALID_VALUE"
    assert raw("cuGraphDestroy", captured) == "SUCCESS"
    assert raw(*create) == "INVALID_HANDLE"


def test_host_build_of_next_iteration_counts_and_asks_for_more(host_fp32: HostKernels) -> None:
    """It counts to the last iteration, and then clears the condition."""
    iteration = Buffer(np.zeros(1, np.int32))
    asked = []
    for _ in range(3):
        host_fp32.run(tile_launches.next_iteration(iteration.address, 3, 0xC0DE))
        asked.append(host_fp32.conditions[0xC0DE])
    assert asked == [1, 1, 0] and iteration.read().tolist() == [3]
