"""Memory, copies and contexts of the emulated CUDA driver."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

from tests.fake_cuda.driver import FakeDriver
from tests.fake_cuda.raw_calls import RawCalls
from tests.fake_cuda.scripts import run_script

MAPPED = 2  # CU_MEMHOSTALLOC_DEVICEMAP


def test_the_device_says_that_it_is_no_gpu(fake_driver: FakeDriver, cuda: Any) -> None:
    """The device is as the test configured it, and its name says that it is an emulation."""
    fake_driver.configure(compute_capability=(11, 0), integrated=True, memory=1 << 30, driver_version=13010)
    device = cuda.Device(0)
    assert device.name() == "host emulation of CUDA for tests (not a GPU)"
    assert device.compute_capability() == (11, 0)
    assert device.total_memory() == 1 << 30
    assert device.get_attribute(cuda.device_attribute.INTEGRATED) == 1
    assert cuda.get_driver_version() == 13010


def test_memory_nobody_wrote_reads_as_nan(cuda: Any) -> None:
    """New device memory and new pinned memory hold NaN, so that reading too early shows."""
    device, host = cuda.mem_alloc(400), np.zeros(100, np.float32)
    cuda.memcpy_dtoh(host, device)
    assert np.isnan(host).all()
    assert np.isnan(cuda.pagelocked_empty(100, np.float32)).all()


def test_copies_there_and_back_keep_every_byte(cuda: Any) -> None:
    """An array that was copied to the device, within it and back is unchanged."""
    source = np.arange(1000, dtype=np.float32)
    first, second, back = cuda.mem_alloc(4000), cuda.mem_alloc(4000), np.empty_like(source)
    cuda.memcpy_htod(first, source)
    cuda.memcpy_dtod(second, first, 4000)
    cuda.memcpy_dtoh(back, second)
    np.testing.assert_array_equal(back, source)


def test_copies_out_of_bounds_are_refused_on_either_side(fake_driver: FakeDriver, cuda: Any) -> None:
    """A copy that exceeds device memory or pinned memory is refused, and the report has its size."""
    device = cuda.mem_alloc(400)
    with pytest.raises(cuda.LogicError, match="invalid value"):
        cuda.memcpy_htod(device, np.zeros(101, np.float32))
    with pytest.raises(cuda.LogicError):
        cuda.memcpy_dtoh(np.zeros(100, np.float32), int(device) + 4)
    pinned = cuda.pagelocked_empty(50, np.float32)
    raw = RawCalls()
    assert raw("cuMemcpyHtoDAsync_v2", int(device), pinned.ctypes.data, 204, 0) == "INVALID_VALUE"
    assert len(fake_driver.reports()) == 3
    assert "404 bytes at offset 0 do not fit into a device allocation of 400 bytes" in fake_driver.reports()[0]


def test_rectangles_are_copied_with_both_pitches(cuda: Any) -> None:
    """A 2D copy takes a rectangle of the source to a rectangle of the target, each with its own pitch."""
    source = cuda.pagelocked_empty((20, 64), np.uint8)
    source[:] = np.random.default_rng(1).integers(0, 255, source.shape)
    target = np.zeros((10, 48), np.uint8)
    device = cuda.mem_alloc(target.size)
    cuda.memcpy_htod(device, target)
    copy = cuda.Memcpy2D()
    copy.set_src_host(source)
    copy.set_dst_device(device)
    copy.src_pitch, copy.src_x_in_bytes, copy.src_y = 64, 5, 3
    copy.dst_pitch, copy.dst_x_in_bytes, copy.dst_y = 48, 7, 2
    copy.width_in_bytes, copy.height = 30, 6
    stream = cuda.Stream()
    copy(stream)
    stream.synchronize()
    cuda.memcpy_dtoh(target, device)
    expected = np.zeros_like(target)
    expected[2:8, 7:37] = source[3:9, 5:35]
    np.testing.assert_array_equal(target, expected)


@pytest.mark.parametrize(("height", "pitch"), [(12, 48), (10, 40)])
def test_rectangles_that_do_not_fit_are_refused(cuda: Any, height: int, pitch: int) -> None:
    """A 2D copy with too many rows, or with rows longer than the pitch, is refused."""
    copy = cuda.Memcpy2D()
    device = cuda.mem_alloc(480)
    copy.set_src_host(np.zeros((20, 64), np.uint8))
    copy.set_dst_device(device)
    copy.src_pitch, copy.dst_pitch, copy.width_in_bytes, copy.height = 64, pitch, 48, height
    with pytest.raises(cuda.LogicError, match="invalid value"):
        copy(aligned=False)


def test_fills_of_lines_and_rectangles(cuda: Any) -> None:
    """Fills of 8, 16 and 32 bits, and of a rectangle of bytes, write exactly their range."""
    device, host = cuda.mem_alloc(64), np.empty(64, np.uint8)
    cuda.memset_d8(device, 7, 64)
    cuda.memset_d16(int(device) + 2, 0x0102, 1)
    cuda.memset_d32(int(device) + 8, 0x0A0B0C0D, 1)
    cuda.memset_d2d8(int(device) + 16, 16, 9, 3, 2)
    cuda.memcpy_dtoh(host, device)
    expected = np.full(64, 7, np.uint8)
    expected[2:4], expected[8:12] = (2, 1), (0x0D, 0x0C, 0x0B, 0x0A)
    expected[16:19] = expected[32:35] = 9
    np.testing.assert_array_equal(host, expected)
    with pytest.raises(cuda.LogicError):
        cuda.memset_d32(device, 0, 17)


def test_only_mapped_memory_has_a_device_address(cuda: Any) -> None:
    """Pinned memory has a device address only if it was allocated with DEVICEMAP."""
    mapped = cuda.pagelocked_empty(10, np.float32, mem_flags=MAPPED)
    mapped[:] = 3
    address, device, back = mapped.base.get_device_pointer(), cuda.mem_alloc(40), np.zeros(10, np.float32)
    cuda.memcpy_dtod(device, address, 40)
    cuda.memcpy_dtoh(back, device)
    np.testing.assert_array_equal(back, mapped)
    pinned = cuda.pagelocked_empty(10, np.float32)
    with pytest.raises(cuda.LogicError):
        pinned.base.get_device_pointer()
    with pytest.raises(cuda.LogicError):
        cuda.memcpy_dtod(device, pinned.ctypes.data, 40)


def test_the_device_runs_out_of_memory(fake_driver: FakeDriver, cuda: Any) -> None:
    """Allocations beyond the device's memory fail, and freed memory can be allocated again."""
    fake_driver.configure(memory=1 << 20)
    half = cuda.mem_alloc(1 << 19)
    with pytest.raises(cuda.MemoryError):
        cuda.mem_alloc((1 << 19) + 1)
    assert cuda.mem_get_info() == (1 << 19, 1 << 20)
    half.free()
    cuda.mem_alloc(1 << 20).free()


def test_freeing_twice_is_refused(cuda: Any) -> None:
    """A second free of an address is an error, and so is using it after the free."""
    raw = RawCalls()
    device = cuda.mem_alloc(16)
    address = int(device)
    device.free()
    assert raw("cuMemFree_v2", address) == "INVALID_VALUE"
    with pytest.raises(cuda.LogicError):
        cuda.memset_d8(address, 0, 16)


def test_a_thread_without_a_context_can_do_nothing(cuda: Any) -> None:
    """On a thread without a current context, every call fails with INVALID_CONTEXT."""
    raw, stream, answers = RawCalls(), cuda.Stream(), list[str]()

    def elsewhere() -> None:
        answers.append(raw("cuStreamSynchronize", stream.handle))
        answers.append(raw("cuCtxSynchronize"))
        answers.append(raw("cuMemsetD8_v2", 0, 0, 0))
        answers.append(raw("cuStreamQuery", stream.handle))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert answers == ["INVALID_CONTEXT"] * 4


def test_objects_that_die_with_their_context_are_listed(fake_driver: FakeDriver, cuda: Any) -> None:
    """Objects that die with their context are listed as dropped, and using them gives CONTEXT_IS_DESTROYED."""
    raw, own = RawCalls(), cuda.Device(0).make_context()
    stream, device = cuda.Stream(), cuda.mem_alloc(16)
    handle = stream.handle
    assert set(fake_driver.leaks()) >= {"a context", "a device allocation of 16 bytes", "stream 1"}
    own.detach()
    assert sorted(fake_driver.dropped()) == ["a device allocation of 16 bytes", "stream 1"]
    assert raw("cuStreamSynchronize", handle) == "CONTEXT_IS_DESTROYED"
    del stream, device


def test_invalid_handles_are_refused(cuda: Any) -> None:
    """A destroyed stream and a number that is no handle give INVALID_HANDLE, not a crash."""
    raw, stream = RawCalls(), cuda.Stream()
    handle = stream.handle
    assert raw("cuStreamSynchronize", handle) == "SUCCESS"
    del stream
    for call in ("cuStreamSynchronize", "cuStreamQuery", "cuStreamDestroy_v2"):
        assert raw(call, handle) == "INVALID_HANDLE"
    for call in ("cuStreamQuery", "cuEventQuery", "cuGraphDestroy", "cuGraphExecDestroy", "cuModuleUnload"):
        assert raw(call, 0x1234) == "INVALID_HANDLE"


def test_leaks_are_listed_until_released(fake_driver: FakeDriver, cuda: Any) -> None:
    """An allocation is in the list of leaks until it is freed."""
    before = set(fake_driver.leaks())
    device, pinned = cuda.mem_alloc(8), cuda.pagelocked_empty(2, np.float32)
    assert set(fake_driver.leaks()) - before == {
        "a device allocation of 8 bytes",
        "a pinned host allocation of 8 bytes",
    }
    device.free()
    pinned.base.free()
    assert set(fake_driver.leaks()) == before


@pytest.mark.usefixtures("loaded_fake_driver")
def test_leaks_are_reported_at_the_end_of_the_process() -> None:
    """A process that ends with memory allocated reports it on stderr."""
    done = run_script(
        """
        address = ctypes.c_size_t()
        driver.library.cuMemAlloc_v2(ctypes.byref(address), ctypes.c_size_t(48))
        context.pop()
        """
    )
    assert done.returncode == 0, done.stderr
    assert "fake_cuda: leaked: a device allocation of 48 bytes" in done.stderr


@pytest.mark.usefixtures("loaded_fake_driver")
def test_touching_freed_memory_ends_in_a_sentence() -> None:
    """Reading freed pinned memory ends the process with a sentence about that memory."""
    done = run_script(
        """
        pinned = cuda.pagelocked_zeros(10, np.float32)
        element = ctypes.c_float.from_address(pinned.ctypes.data)
        pinned.base.free()
        print(element.value)
        """
    )
    assert done.returncode != 0
    assert "touched a pinned host allocation of 40 bytes after it was freed" in done.stderr
