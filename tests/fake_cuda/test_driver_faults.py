"""Planted faults and counters of the emulated CUDA driver."""

from __future__ import annotations

import ctypes
import gc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.fake_cuda.driver import LAUNCH_FAILED, OUT_OF_MEMORY, FakeDriver
from tests.fake_cuda.raw_calls import RawCalls
from tests.fake_cuda.scripts import run_script


def test_the_nth_call_fails(fake_driver: FakeDriver, cuda: Any) -> None:
    """The planted fault hits that call and no other."""
    fake_driver.fail("cuStreamCreate", OUT_OF_MEMORY, nth=3)
    kept = [cuda.Stream(), cuda.Stream()]
    with pytest.raises(cuda.MemoryError):
        cuda.Stream()
    kept.append(cuda.Stream())


def test_pycuda_tries_an_allocation_twice(fake_driver: FakeDriver, cuda: Any) -> None:
    """One failed allocation has no effect, because pycuda collects garbage and tries again; two in a row have."""
    fake_driver.fail("cuMemAlloc", OUT_OF_MEMORY, nth=2)
    fake_driver.fail("cuMemAlloc", OUT_OF_MEMORY, nth=4, times=2)
    kept = [cuda.mem_alloc(8), cuda.mem_alloc(8)]
    with pytest.raises(cuda.MemoryError):
        cuda.mem_alloc(8)
    kept.append(cuda.mem_alloc(8))


def test_every_call_fails(fake_driver: FakeDriver, cuda: Any) -> None:
    """A fault without a number hits every call until a reset."""
    fake_driver.fail("cuStreamCreate", OUT_OF_MEMORY)
    for _ in range(2):
        with pytest.raises(cuda.MemoryError):
            cuda.Stream()


def test_a_lost_context_stays_lost(fake_driver: FakeDriver, cuda: Any, capfd: pytest.CaptureFixture[str]) -> None:
    """After the loss every call fails with the same error and pending work is gone, but releasing still releases."""
    raw, stream, device = RawCalls(), cuda.Stream(), cuda.mem_alloc(8)
    cuda.memset_d8_async(device, 0, 8, stream)
    fake_driver.lose_context()
    for call in ("cuStreamSynchronize", "cuStreamQuery"):
        assert raw(call, stream.handle) == "ILLEGAL_ADDRESS"
    with pytest.raises(cuda.Error):
        cuda.mem_alloc(8)
    with pytest.raises(cuda.Error):
        cuda.Device(0).retain_primary_context()
    assert fake_driver.timeline() == []
    del stream, device
    gc.collect()
    assert fake_driver.leaks() == ["the retained primary context"]
    assert "clean-up operation failed" in capfd.readouterr().err  # pycuda's warning


def test_the_context_is_lost_at_a_call(fake_driver: FakeDriver, cuda: Any) -> None:
    """The loss can be planted at a later call, which is then the first to fail."""
    fake_driver.lose_context(LAUNCH_FAILED, at="cuStreamSynchronize", nth=2)
    stream = cuda.Stream()
    stream.synchronize()
    with pytest.raises(cuda.LaunchError):
        stream.synchronize()


def test_a_capture_is_invalidated_as_by_another_thread(fake_driver: FakeDriver, cuda: Any) -> None:
    """A capture can be invalidated at once or at a later call, and its end reports it."""
    raw, stream, device = RawCalls(), cuda.Stream(), cuda.mem_alloc(8)
    raw.begin(stream.handle)
    fake_driver.invalidate_captures()
    assert raw.end(stream.handle)[0] == "STREAM_CAPTURE_INVALIDATED"
    fake_driver.invalidate_captures(at="cuMemsetD8Async", nth=2)
    raw.begin(stream.handle)
    answers = [raw("cuMemsetD8Async", int(device), 0, 8, stream.handle) for _ in range(2)]
    assert answers == ["SUCCESS", "STREAM_CAPTURE_INVALIDATED"]
    assert raw.end(stream.handle)[0] == "STREAM_CAPTURE_INVALIDATED"


def test_calls_are_counted_by_name_without_version(fake_driver: FakeDriver, cuda: Any) -> None:
    """The calls of an upload are one copy and one wait, without an allocation."""
    stream, device, host = cuda.Stream(), cuda.mem_alloc(8), cuda.pagelocked_zeros(2, np.float32)
    before = fake_driver.calls()
    cuda.memcpy_htod_async(device, host, stream)
    stream.synchronize()
    after = fake_driver.calls()
    changed = {name: count - before.get(name, 0) for name, count in after.items() if count != before.get(name)}
    assert changed == {"cuMemcpyHtoDAsync": 1, "cuStreamSynchronize": 1}
    assert after["cuMemAlloc"] == 1


def test_what_is_not_emulated_says_so(fake_driver: FakeDriver, cuda: Any, capfd: pytest.CaptureFixture[str]) -> None:
    """A driver function that the emulation lacks exists, fails as not supported and reports its name."""
    address = ctypes.c_size_t()
    assert RawCalls()("cuMemAllocAsync", ctypes.byref(address), 8, 0) == "NOT_SUPPORTED"
    assert fake_driver.reports() == ["cuMemAllocAsync is not emulated"]
    assert "cuMemAllocAsync is not emulated" in capfd.readouterr().err


def test_a_reset_forgets_everything(fake_driver: FakeDriver, cuda: Any) -> None:
    """A reset clears counters, timeline, reports, faults, objects and the device's configuration."""
    raw, address, stream = RawCalls(), ctypes.c_size_t(), cuda.Stream()
    context = cuda.Context.get_current()
    fake_driver.configure(memory=1 << 20, compute_capability=(7, 5))
    fake_driver.fail("cuDeviceGetCount", OUT_OF_MEMORY)
    assert raw("cuMemAlloc_v2", ctypes.byref(address), 8) == "SUCCESS"
    fake_driver.reset()
    assert (fake_driver.calls(), fake_driver.timeline(), fake_driver.reports(), fake_driver.leaks()) == ({}, [], [], [])
    assert cuda.Device.count() == 1
    assert cuda.Device(0).compute_capability() == (8, 7)
    assert raw("cuMemFree_v2", address.value) == "INVALID_CONTEXT"
    del stream  # a late finaliser does no harm
    other = cuda.Device(0).retain_primary_context()
    assert other != context
    other.detach()


@pytest.mark.usefixtures("loaded_fake_driver")
def test_a_process_with_another_driver_is_refused(tmp_path: Path) -> None:
    """In a process that has loaded another libcuda, the emulation refuses to load."""
    script = f"""
        import subprocess
        real = {str(tmp_path / "libcuda.so.1")!r}
        subprocess.run(["gcc", "-shared", "-x", "c", "/dev/null", "-o", real], check=True)
        import ctypes
        ctypes.CDLL(real)
        from tests.fake_cuda.driver import FakeDriver
        FakeDriver.load()
    """
    done = run_script(script, start="")
    assert f"RealDriverLoaded: {tmp_path}/libcuda.so.1 is loaded" in done.stderr
