"""The host build detects faults of kernels that a GPU punishes by wrong numbers, or not at all."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from latentline.backends.tensorrt.gpu.launch import Launch
from tests.fake_cuda.host_kernels import Buffer, HostKernels, KernelFault, build_host_kernels

THREADS = 64


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> HostKernels:
    if shutil.which("g++") is None:
        pytest.skip("G++ IS MISSING: the kernels' host build was not tested; install the package `g++`")
    source = Path(__file__).with_name("faulty.cu")
    return HostKernels(build_host_kernels("fp32", tmp_path_factory.mktemp("faulty"), [source]))


def launch(name: str, *arguments: np.generic, shared: int = 4 * THREADS, blocks: int = 1) -> Launch:
    return Launch(name, (blocks, 1, 1), (THREADS, 1, 1), shared, arguments)


@pytest.mark.parametrize(
    ("kernel", "message"),
    [
        ("divergent_barriers", "threads of a block wait at different barriers"),
        ("early_return", "threads of a block wait at different barriers"),
        ("partial_shuffle", "threads of a block wait at different barriers"),
        ("shared_overrun", "a block wrote behind its shared memory"),
        ("write_behind", "memory outside the buffers was touched"),
    ],
)
def test_the_host_build_names_the_faulty_kernel(faulty: HostKernels, kernel: str, message: str) -> None:
    """Each fault ends the launch and not the process, and the message names kernel and fault."""
    out = Buffer.empty((THREADS,), np.float32)
    with pytest.raises(KernelFault, match=f"{kernel}: {message}"):
        faulty.run(launch(kernel, np.uint64(out.address)))


def test_the_host_build_traps_a_misaligned_vector(faulty: HostKernels) -> None:
    """A float4 at an address that is no multiple of its size is refused, as on a GPU."""
    out = Buffer.empty((4 * THREADS + 1,), np.float32)
    faulty.run(launch("misaligned_vector", np.uint64(out.address)))
    with pytest.raises(KernelFault, match="misaligned"):
        faulty.run(launch("misaligned_vector", np.uint64(out.address + 4)))


def test_the_host_build_traps_an_overflow(faulty: HostKernels) -> None:
    """An int overflow is a fault, not a negative number."""
    out = Buffer.empty((THREADS,), np.float32)
    with pytest.raises(KernelFault, match="overflows"):
        faulty.run(launch("overflow", np.uint64(out.address), np.int32(2**31 - 2)))


def test_the_host_build_shows_a_missing_barrier(faulty: HostKernels) -> None:
    """Without a barrier, what another warp has not written yet is NaN."""
    out = Buffer.empty((THREADS,), np.float32)
    faulty.run(launch("missing_barrier", np.uint64(out.address)))
    assert np.isnan(out.read()).any()


def test_a_write_before_a_buffer_is_detected(faulty: HostKernels) -> None:
    """A write before a buffer is detected when the buffer is read."""
    out = Buffer.empty((THREADS,), np.float32)
    faulty.run(launch("write_before", np.uint64(out.address)))
    with pytest.raises(KernelFault, match="beside a buffer"):
        out.read()


def test_the_host_build_runs_barriers_and_shuffles(faulty: HostKernels) -> None:
    """After faults in other launches, a correct kernel gets its arguments and its neighbours' values."""
    out = Buffer.empty((3, THREADS), np.float32)
    faulty.run(launch("well_behaved", np.int8(7), np.uint64(out.address), blocks=3))
    thread = np.arange(THREADS)
    np.testing.assert_array_equal(out.read(), ((thread ^ 32) ^ 1) + np.arange(3)[:, None] + 7)


def test_wrong_arguments_are_refused(faulty: HostKernels) -> None:
    """Too few arguments, or one of another size, never reach the kernel."""
    with pytest.raises(KernelFault, match="takes 2 arguments, not 1"):
        faulty.run(launch("well_behaved", np.int8(0)))
    with pytest.raises(KernelFault, match="argument 1 has 8 bytes, not 4"):
        faulty.run(launch("well_behaved", np.int8(0), np.int32(0)))


def test_too_much_shared_memory_is_refused(faulty: HostKernels) -> None:
    """No launch gets more than the 48 KiB of shared memory that every GPU has."""
    with pytest.raises(KernelFault, match="asks for more"):
        faulty.run(launch("well_behaved", np.int8(0), np.uint64(0), shared=48 * 1024 + 4))
