"""Stream capture and graphs of the emulated CUDA driver."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.fake_cuda.driver import FakeDriver
from tests.fake_cuda.raw_calls import GLOBAL, RELAXED, THREAD_LOCAL, RawCalls

NON_BLOCKING = 1  # CU_STREAM_NON_BLOCKING
HOST, KERNEL, MEMCPY, MEMSET = 3, 0, 1, 2  # CUgraphNodeType


def in_another_thread(cuda: Any, call: Callable[[], str]) -> str:
    """The answer of a call from another thread, on which the context is current."""
    context, answers = cuda.Context.get_current(), list[str]()

    def run() -> None:
        context.push()
        answers.append(call())
        context.pop()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(60)
    return answers[0]


def test_a_graph_replays_its_work_on_new_input(fake_driver: FakeDriver, cuda: Any) -> None:
    """Captured work does not run; each launch runs all of it in order, on the memory as it then is."""
    raw, stream, device = RawCalls(), cuda.Stream(), cuda.mem_alloc(8)
    source, result = cuda.pagelocked_zeros(2, np.float32), cuda.pagelocked_zeros(2, np.float32)

    def work() -> None:
        cuda.memcpy_htod_async(device, source, stream)
        cuda.memset_d32_async(device, 0, 1, stream)
        raw.host_function(stream.handle, lambda: None)
        cuda.memcpy_dtoh_async(result, device, stream)

    graph = raw.capture(stream.handle, work)
    assert fake_driver.timeline() == []
    for value in (3, 5):
        source[:] = value
        assert raw("cuGraphLaunch", graph, stream.handle) == "SUCCESS"
        stream.synchronize()
        assert result.tolist() == [0, value]
    assert fake_driver.timeline()[:4] == [
        "stream 1, graph: copy host to device, 8 bytes",
        "stream 1, graph: fill, 4 bytes",
        "stream 1, graph: host function",
        "stream 1, graph: copy device to host, 8 bytes",
    ]
    assert len(fake_driver.timeline()) == 8
    assert raw("cuGraphExecDestroy", graph) == "SUCCESS"


def test_the_nodes_of_a_graph_can_be_listed(cuda: Any) -> None:
    """Number and types of the nodes are those of the captured work."""
    raw, stream, device = RawCalls(), cuda.Stream(), cuda.mem_alloc(8)
    host = cuda.pagelocked_zeros(2, np.float32)
    raw.begin(stream.handle)
    cuda.memset_d32_async(device, 0, 1, stream)
    raw.host_function(stream.handle, lambda: None)
    cuda.memcpy_dtoh_async(host, device, stream)
    _, graph = raw.end(stream.handle)
    count, types = ctypes.c_size_t(), []
    raw("cuGraphGetNodes", graph, None, ctypes.byref(count))
    nodes = (ctypes.c_size_t * count.value)()
    raw("cuGraphGetNodes", graph, nodes, ctypes.byref(count))
    for node in nodes:
        kind = ctypes.c_int(-1)
        raw("cuGraphNodeGetType", node, ctypes.byref(kind))
        types.append(kind.value)
    assert types == [MEMSET, HOST, MEMCPY]
    assert raw("cuGraphDestroy", graph) == "SUCCESS"
    assert raw("cuGraphNodeGetType", nodes[0], ctypes.byref(kind)) == "INVALID_HANDLE"


def test_a_graph_may_be_launched_again_and_destroyed_while_pending(fake_driver: FakeDriver, cuda: Any) -> None:
    """Pending launches of a destroyed executable still run, one after the other."""
    raw, stream, other, device = RawCalls(), cuda.Stream(), cuda.Stream(), cuda.mem_alloc(8)
    graph = raw.capture(stream.handle, lambda: cuda.memset_d8_async(device, 0, 8, stream))
    for target in (stream, other):
        assert raw("cuGraphLaunch", graph, target.handle) == "SUCCESS"
    assert raw("cuGraphExecDestroy", graph) == "SUCCESS"
    assert raw("cuGraphLaunch", graph, stream.handle) == "INVALID_HANDLE"
    other.synchronize()
    assert fake_driver.timeline() == ["stream 1, graph: fill, 8 bytes", "stream 2, graph: fill, 8 bytes"]


def test_memory_freed_after_the_capture_is_reported_at_the_launch(fake_driver: FakeDriver, cuda: Any) -> None:
    """A launch with a node that uses freed memory is refused, and the report names both."""
    raw, stream, device, other = RawCalls(), cuda.Stream(), cuda.mem_alloc(8), cuda.mem_alloc(16)

    def work() -> None:
        cuda.memset_d8_async(device, 0, 8, stream)
        fake_driver.annotate("engine encoder", [int(other)])
        raw.host_function(stream.handle, lambda: None)

    graph = raw.capture(stream.handle, work)
    other.free()
    assert raw("cuGraphLaunch", graph, stream.handle) == "ILLEGAL_ADDRESS"
    assert "node 1 (engine encoder) uses a device allocation of 16 bytes" in fake_driver.reports()[-1]
    device.free()
    assert raw("cuGraphLaunch", graph, stream.handle) == "ILLEGAL_ADDRESS"
    assert "node 0 (fill, 8 bytes) uses a device allocation of 8 bytes" in fake_driver.reports()[-1]
    raw("cuGraphExecDestroy", graph)


@pytest.mark.parametrize(
    ("call", "answer"),
    [
        ("cuMemAlloc_v2", "STREAM_CAPTURE_UNSUPPORTED"),
        ("cuMemHostAlloc", "STREAM_CAPTURE_UNSUPPORTED"),
        ("cuCtxSynchronize", "STREAM_CAPTURE_UNSUPPORTED"),
        ("cuStreamSynchronize", "STREAM_CAPTURE_UNSUPPORTED"),
        ("cuStreamQuery", "STREAM_CAPTURE_UNSUPPORTED"),
        ("pageable upload", "STREAM_CAPTURE_UNSUPPORTED"),
        ("waiting upload", "STREAM_CAPTURE_IMPLICIT"),
        ("default stream", "STREAM_CAPTURE_IMPLICIT"),
    ],
)
def test_a_forbidden_call_invalidates_a_capture(cuda: Any, call: str, answer: str) -> None:
    """A forbidden call is refused during a capture, which then ends as invalidated and gives no graph."""
    raw, stream, device = RawCalls(), cuda.Stream(), cuda.mem_alloc(8)
    host, out = np.zeros(2, np.float32), ctypes.c_size_t()
    calls: dict[str, tuple[Any, ...]] = {
        "cuMemAlloc_v2": ("cuMemAlloc_v2", ctypes.byref(out), 8),
        "cuMemHostAlloc": ("cuMemHostAlloc", ctypes.byref(out), 8, 0),
        "cuCtxSynchronize": ("cuCtxSynchronize",),
        "cuStreamSynchronize": ("cuStreamSynchronize", stream.handle),
        "cuStreamQuery": ("cuStreamQuery", stream.handle),
        "pageable upload": ("cuMemcpyHtoDAsync_v2", int(device), host.ctypes.data, 8, stream.handle),
        "waiting upload": ("cuMemcpyHtoD_v2", int(device), host.ctypes.data, 8),
        "default stream": ("cuMemsetD8Async", int(device), 0, 8, 0),
    }
    raw.begin(stream.handle)
    assert raw(*calls[call]) == answer
    assert raw("cuMemsetD8Async", int(device), 0, 8, stream.handle) == "STREAM_CAPTURE_INVALIDATED"
    assert raw.end(stream.handle) == ("STREAM_CAPTURE_INVALIDATED", 0)
    stream.synchronize()


def test_freeing_memory_breaks_a_capture(cuda: Any) -> None:
    """Freeing device memory during a capture invalidates it, which is why garbage collection is then off."""
    raw, stream, device = RawCalls(), cuda.Stream(), cuda.mem_alloc(8)
    raw.begin(stream.handle)
    assert raw("cuMemFree_v2", int(device)) == "STREAM_CAPTURE_UNSUPPORTED"
    assert raw.end(stream.handle)[0] == "STREAM_CAPTURE_INVALIDATED"


@pytest.mark.parametrize(
    ("mode", "answer", "end"),
    [
        (GLOBAL, "STREAM_CAPTURE_UNSUPPORTED", "STREAM_CAPTURE_INVALIDATED"),
        (THREAD_LOCAL, "SUCCESS", "SUCCESS"),
        (RELAXED, "SUCCESS", "SUCCESS"),
    ],
)
def test_another_threads_call_breaks_a_global_capture_only(cuda: Any, mode: int, answer: str, end: str) -> None:
    """An allocation on another thread invalidates a capture in global mode, and succeeds in other modes."""
    raw, stream, address = RawCalls(), cuda.Stream(NON_BLOCKING), ctypes.c_size_t()
    raw.begin(stream.handle, mode)
    assert in_another_thread(cuda, lambda: raw("cuMemAlloc_v2", ctypes.byref(address), 8)) == answer
    ended, graph = raw.end(stream.handle)
    assert ended == end
    if end == "SUCCESS":
        raw("cuGraphDestroy", graph)
        raw("cuMemFree_v2", address.value)


def test_a_capture_ends_where_it_began(cuda: Any) -> None:
    """Only the stream and the thread that began a capture may end it."""
    raw, stream, fork = RawCalls(), cuda.Stream(), cuda.Stream()
    assert raw.end(stream.handle)[0] == "ILLEGAL_STATE"
    assert raw.begin(0) == "STREAM_CAPTURE_UNSUPPORTED"
    raw.begin(stream.handle)
    assert raw.begin(stream.handle) == "ILLEGAL_STATE"
    assert in_another_thread(cuda, lambda: raw.end(stream.handle)[0]) == "STREAM_CAPTURE_WRONG_THREAD"
    event = cuda.Event()
    event.record(stream)
    fork.wait_for_event(event)
    assert raw.end(fork.handle)[0] == "STREAM_CAPTURE_UNMATCHED"
    answer, graph = raw.end(stream.handle)
    assert answer == "SUCCESS"
    raw("cuGraphDestroy", graph)


def test_a_fork_must_be_joined(cuda: Any) -> None:
    """A capture ends as unjoined when nothing waits for the work of a forked stream, else it succeeds."""
    raw, stream, fork, device = RawCalls(), cuda.Stream(), cuda.Stream(), cuda.mem_alloc(8)
    forked, joined = cuda.Event(), cuda.Event()
    for join, expected in ((False, "STREAM_CAPTURE_UNJOINED"), (True, "SUCCESS")):
        raw.begin(stream.handle)
        cuda.memset_d8_async(device, 0, 8, stream)
        forked.record(stream)
        fork.wait_for_event(forked)
        cuda.memset_d8_async(device, 1, 8, fork)
        if join:
            joined.record(fork)
            stream.wait_for_event(joined)
        answer, graph = raw.end(stream.handle)
        assert answer == expected
    raw("cuGraphDestroy", graph)


def test_independent_branches_run_latest_first(fake_driver: FakeDriver, cuda: Any) -> None:
    """Nodes without a dependency run latest first, so that a forgotten event shows in the result."""
    raw, stream, fork, device = RawCalls(), cuda.Stream(), cuda.Stream(), cuda.mem_alloc(8)
    forked, joined = cuda.Event(), cuda.Event()

    def work() -> None:
        forked.record(stream)
        fork.wait_for_event(forked)
        cuda.memset_d8_async(device, 1, 4, stream)
        cuda.memset_d8_async(device, 2, 8, fork)
        joined.record(fork)
        stream.wait_for_event(joined)

    graph = raw.capture(stream.handle, work)
    raw("cuGraphLaunch", graph, stream.handle)
    stream.synchronize()
    assert fake_driver.timeline() == ["stream 1, graph: fill, 8 bytes", "stream 1, graph: fill, 4 bytes"]
    raw("cuGraphExecDestroy", graph)


def test_a_capture_stays_apart_from_work_outside_it(cuda: Any) -> None:
    """Waiting inside a capture for an event from outside is refused, and so is a query of an event from inside."""
    raw, stream, outside, event = RawCalls(), cuda.Stream(), cuda.Stream(NON_BLOCKING), cuda.Event()
    event.record(outside)
    raw.begin(stream.handle)
    with pytest.raises(cuda.Error):
        stream.wait_for_event(event)
    assert raw.end(stream.handle)[0] == "STREAM_CAPTURE_INVALIDATED"
    raw.begin(stream.handle)
    event.record(stream)
    with pytest.raises(cuda.Error):
        event.query()
    assert raw.end(stream.handle)[0] == "STREAM_CAPTURE_INVALIDATED"


def test_two_captures_may_not_merge(cuda: Any) -> None:
    """A capturing stream that waits for an event of another capture invalidates both."""
    raw, first, second, event = RawCalls(), cuda.Stream(), cuda.Stream(), cuda.Event()
    raw.begin(first.handle)
    raw.begin(second.handle)
    event.record(first)
    with pytest.raises(cuda.Error):
        second.wait_for_event(event)
    assert [raw.end(s.handle)[0] for s in (first, second)] == ["STREAM_CAPTURE_INVALIDATED"] * 2
