"""Streams, events and the order of work of the emulated CUDA driver."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

from tests.fake_cuda.driver import FakeDriver
from tests.fake_cuda.raw_calls import RawCalls

NON_BLOCKING = 1  # CU_STREAM_NON_BLOCKING
ONE = 0x3F800000  # 1.0 as a float's bits


def test_nothing_runs_before_something_waits(fake_driver: FakeDriver, cuda: Any) -> None:
    """Work runs only when its stream is synchronised, so that a result read too early is the old one."""
    stream, device, host = cuda.Stream(), cuda.mem_alloc(40), cuda.pagelocked_zeros(10, np.float32)
    cuda.memset_d32_async(device, ONE, 10, stream)
    cuda.memcpy_dtoh_async(host, device, stream)
    assert not host.any()
    assert fake_driver.timeline() == []
    stream.synchronize()
    assert (host == 1).all()
    assert fake_driver.timeline() == ["stream 1: fill, 40 bytes", "stream 1: copy device to host, 40 bytes"]


def test_a_query_finds_work_pending_once(cuda: Any) -> None:
    """The first query finds the work pending and lets it run, so that a program that polls comes to an end."""
    stream, device, event = cuda.Stream(), cuda.mem_alloc(4), cuda.Event()
    assert stream.is_done()
    cuda.memset_d32_async(device, 0, 1, stream)
    event.record(stream)
    assert [event.query(), event.query(), stream.is_done()] == [False, True, True]


def test_a_pageable_source_is_read_at_the_call_and_a_pinned_one_later(cuda: Any) -> None:
    """An asynchronous upload reads pinned memory when it runs, and ordinary memory when it is called."""
    stream, back = cuda.Stream(), np.zeros(1, np.float32)
    pageable, pinned = np.ones(1, np.float32), cuda.pagelocked_zeros(1, np.float32)
    first, second = cuda.mem_alloc(4), cuda.mem_alloc(4)
    pinned[:] = 1
    cuda.memcpy_htod_async(first, pageable, stream)
    cuda.memcpy_htod_async(second, pinned, stream)
    pageable[:] = pinned[:] = 2
    stream.synchronize()
    cuda.memcpy_dtoh(back, first)
    assert back == 1
    cuda.memcpy_dtoh(back, second)
    assert back == 2


def test_an_asynchronous_download_to_pageable_memory_waits(fake_driver: FakeDriver, cuda: Any) -> None:
    """A download to pageable memory is complete when the call returns, and counts as implicit synchronisation."""
    stream, device, host = cuda.Stream(), cuda.mem_alloc(4), np.zeros(1, np.float32)
    cuda.memset_d32_async(device, ONE, 1, stream)
    cuda.memcpy_dtoh_async(host, device, stream)
    assert host == 1
    assert fake_driver.calls()["implicit synchronisation"] == 1


def test_an_event_orders_two_streams(fake_driver: FakeDriver, cuda: Any) -> None:
    """A stream that waits for an event runs after the work before that event, not after later work."""
    first, second, event = cuda.Stream(NON_BLOCKING), cuda.Stream(NON_BLOCKING), cuda.Event()
    a, b, c = (cuda.mem_alloc(n) for n in (4, 8, 12))
    cuda.memset_d8_async(a, 0, 4, first)
    event.record(first)
    cuda.memset_d8_async(b, 0, 8, first)
    second.wait_for_event(event)
    cuda.memset_d8_async(c, 0, 12, second)
    second.synchronize()
    assert fake_driver.timeline() == ["stream 1: fill, 4 bytes", "stream 2: fill, 12 bytes"]
    first.synchronize()


def test_an_upload_runs_while_other_work_is_pending(fake_driver: FakeDriver, cuda: Any) -> None:
    """Synchronising the copy stream runs the upload, and no work of the other stream."""
    work, copies = cuda.Stream(NON_BLOCKING), cuda.Stream(NON_BLOCKING)
    device, frame, host = cuda.mem_alloc(4), cuda.mem_alloc(8), cuda.pagelocked_zeros(8, np.uint8)
    cuda.memset_d8_async(device, 0, 4, work)
    cuda.memcpy_htod_async(frame, host, copies)
    copies.synchronize()
    assert fake_driver.timeline() == ["stream 2: copy host to device, 8 bytes"]
    work.synchronize()


def test_eager_copies_overtake_pending_work(fake_driver: FakeDriver, cuda: Any) -> None:
    """With eager copies an upload runs at its call while another stream waits, unless an event holds it back."""
    fake_driver.configure(eager_copies=True)
    work, copies, event = cuda.Stream(NON_BLOCKING), cuda.Stream(NON_BLOCKING), cuda.Event()
    device, frame, host = cuda.mem_alloc(4), cuda.mem_alloc(8), cuda.pagelocked_zeros(8, np.uint8)
    cuda.memset_d8_async(device, 0, 4, work)
    cuda.memcpy_htod_async(frame, host, copies)
    assert fake_driver.timeline() == ["stream 2: copy host to device, 8 bytes"]
    event.record(work)
    copies.wait_for_event(event)
    cuda.memcpy_htod_async(frame, host, copies)
    assert len(fake_driver.timeline()) == 1
    copies.synchronize()
    assert len(fake_driver.timeline()) == 3


def test_the_default_stream_waits_for_blocking_streams_only(fake_driver: FakeDriver, cuda: Any) -> None:
    """Work of the legacy default stream runs after earlier work of blocking streams, but waits for no other."""
    blocking, free = cuda.Stream(), cuda.Stream(NON_BLOCKING)
    a, b, host = cuda.mem_alloc(4), cuda.mem_alloc(8), np.zeros(4, np.uint8)
    cuda.memset_d8_async(a, 1, 4, blocking)
    cuda.memset_d8_async(b, 1, 8, free)
    cuda.memcpy_dtoh(host, a)
    assert fake_driver.timeline() == ["stream 1: fill, 4 bytes", "stream 0: copy device to host, 4 bytes"]
    assert (host == 1).all()
    cuda.memset_d8(a, 2, 4)
    cuda.memset_d8_async(a, 3, 4, blocking)
    blocking.synchronize()
    assert fake_driver.timeline()[2:] == ["stream 0: fill, 4 bytes", "stream 1: fill, 4 bytes"]
    free.synchronize()


def test_synchronising_the_context_runs_every_stream(fake_driver: FakeDriver, cuda: Any) -> None:
    """After the context is synchronised, no stream has pending work."""
    streams, device = [cuda.Stream(NON_BLOCKING) for _ in range(3)], cuda.mem_alloc(4)
    for stream in streams:
        cuda.memset_d8_async(device, 0, 4, stream)
    cuda.Context.synchronize()
    assert len(fake_driver.timeline()) == 3


def test_freeing_memory_waits_for_the_work_that_uses_it(fake_driver: FakeDriver, cuda: Any) -> None:
    """Before memory is freed, the pending work that uses it runs."""
    stream, device = cuda.Stream(NON_BLOCKING), cuda.mem_alloc(4)
    cuda.memset_d8_async(device, 0, 4, stream)
    device.free()
    assert fake_driver.timeline() == ["stream 1: fill, 4 bytes"]


def test_events_time_the_work_between_them(cuda: Any) -> None:
    """The time between two events can be read once both have run, and not before."""
    stream, first, last = cuda.Stream(), cuda.Event(), cuda.Event()
    first.record(stream)
    last.record(stream)
    with pytest.raises(cuda.RuntimeError):
        last.time_since(first)
    stream.synchronize()
    assert last.time_since(first) >= 0


def test_a_host_function_runs_in_stream_order(fake_driver: FakeDriver, cuda: Any) -> None:
    """A host function sees what earlier work wrote, and the timeline has its name."""
    raw, stream, host = RawCalls(), cuda.Stream(), cuda.pagelocked_zeros(1, np.float32, mem_flags=2)
    cuda.memset_d32_async(host.base.get_device_pointer(), ONE, 1, stream)
    fake_driver.annotate("engine generator", [host.base.get_device_pointer()])
    assert raw.host_function(stream.handle, lambda: host.__iadd__(41)) == "SUCCESS"
    assert host == 0
    stream.synchronize()
    assert host == 42
    assert fake_driver.timeline()[1] == "stream 1: engine generator"


def test_a_host_function_may_not_call_the_driver(fake_driver: FakeDriver, cuda: Any) -> None:
    """A driver call from a host function is not permitted."""
    raw, stream, answers = RawCalls(), cuda.Stream(), list[str]()
    raw.host_function(stream.handle, lambda: answers.append(raw("cuCtxSynchronize")))
    stream.synchronize()
    assert answers == ["NOT_PERMITTED"]
    assert "from inside a host function" in fake_driver.reports()[0]


def test_a_thread_that_waits_does_not_stop_the_others(cuda: Any) -> None:
    """While one thread runs a stream's work in Python, another enqueues and synchronises its own."""
    raw, stream, other = RawCalls(), cuda.Stream(NON_BLOCKING), cuda.Stream(NON_BLOCKING)
    inside, proceed, answers = threading.Event(), threading.Event(), list[str]()
    context = cuda.Context.get_current()

    def work() -> None:
        inside.set()
        proceed.wait(60)

    def elsewhere() -> None:
        context.push()
        inside.wait(60)
        answers.append(raw.host_function(other.handle, lambda: None))
        proceed.set()
        answers.append(raw("cuStreamSynchronize", other.handle))
        context.pop()

    thread = threading.Thread(target=elsewhere)
    thread.start()
    raw.host_function(stream.handle, work)
    stream.synchronize()
    thread.join(60)
    assert answers == ["SUCCESS", "SUCCESS"]
