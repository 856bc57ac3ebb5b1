"""Modules and launches of host-built kernels on the emulated CUDA driver."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from latentline.backends.tensorrt.gpu.nvrtc import compile_kernels
from latentline.errors import EngineError
from tests.fake_cuda import faulty
from tests.fake_cuda.build import CACHE
from tests.fake_cuda.driver import FakeDriver
from tests.fake_cuda.host_kernels import build_host_kernels, kernel_names
from tests.fake_cuda.raw_calls import RawCalls
from tests.fake_cuda.scripts import run_script

ONE_BLOCK = {"block": (32, 1, 1), "grid": (1, 1)}


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory, loaded_fake_driver: FakeDriver) -> Path:
    """The shared library of faulty kernels."""
    return faulty.build(tmp_path_factory.mktemp("kernels"))


@pytest.fixture
def module(library: Path, fake_driver: FakeDriver, cuda: Any) -> Any:
    """A module of the faulty kernels."""
    fake_driver.use_kernels(library)
    return cuda.module_from_buffer(faulty.ptx())


def test_a_kernel_runs_in_stream_order(module: Any, cuda: Any) -> None:
    """A launch by pycuda waits for its stream and computes on device memory."""
    stream, device, host = cuda.Stream(), cuda.mem_alloc(400), cuda.pagelocked_zeros(100, np.float32)
    cuda.memset_d32_async(device, 0, 100, stream)
    add = module.get_function("add")
    for _ in range(3):
        add(device, np.float32(0.5), np.int32(90), block=(32, 1, 1), grid=(4, 1), stream=stream)
    cuda.memcpy_dtoh_async(host, device, stream)
    assert not host.any()
    stream.synchronize()
    assert (host[:90] == 1.5).all()
    assert not host[90:].any()


def test_a_kernel_must_be_in_the_image_and_in_the_library(fake_driver: FakeDriver, module: Any, cuda: Any) -> None:
    """A kernel that the image or the host-built library lacks is not found."""
    with pytest.raises(cuda.LogicError, match="not found"):
        module.get_function("writes")  # only the beginning of a kernel's name
    with pytest.raises(cuda.LogicError, match="not found"):
        module.get_function("only_in_the_image")
    assert "host-built library does not" in fake_driver.reports()[-1]


@pytest.mark.parametrize(
    ("image", "driver_version", "error"),
    [
        (faulty.ptx(target="sm_90"), 13000, "no binary for gpu"),
        (faulty.ptx(version="9.0"), 12060, "unsupported ptx version"),
        (faulty.ptx(version="8.5"), 12060, None),
        (b"no image at all\0", 13000, "invalid ptx"),
        (b"\x7fELF" + bytes(100), 13000, "invalid image"),
    ],
)
def test_an_image_must_suit_device_and_driver(
    fake_driver: FakeDriver, cuda: Any, library: Path, image: bytes, driver_version: int, error: str | None
) -> None:
    """PTX newer than the driver, code for another compute capability, and garbage are refused."""
    fake_driver.use_kernels(library)
    fake_driver.configure(compute_capability=(8, 7), driver_version=driver_version)
    if error is None:
        cuda.module_from_buffer(image)
        return
    with pytest.raises(cuda.Error, match=error):
        cuda.module_from_buffer(image)


@pytest.mark.parametrize("arguments", [[np.float32(1)], [np.float32(1), np.int64(9)], [np.float32(1), np.int32(9)] * 2])
def test_parameters_must_fit_exactly(fake_driver: FakeDriver, module: Any, cuda: Any, arguments: list[Any]) -> None:
    """A launch with a parameter missing, too wide or too many is refused, and the report has both sizes."""
    device = cuda.mem_alloc(400)
    with pytest.raises(cuda.LogicError, match="invalid value"):
        module.get_function("add")(device, *arguments, **ONE_BLOCK)
    assert "takes 16 bytes of parameters, the launch packs" in fake_driver.reports()[0]


@pytest.mark.parametrize(
    "launch",
    [
        {"block": (1025, 1, 1), "grid": (1, 1)},
        {"block": (32, 8, 8), "grid": (1, 1)},
        {"block": (1, 1, 65), "grid": (1, 1)},
        {"block": (1, 1, 1), "grid": (1, 65536)},
        {"block": (1, 1, 1), "grid": (0, 1)},
        {"block": (1, 1, 1), "grid": (1, 1), "shared": 48 * 1024 + 1},
    ],
)
def test_launches_beyond_the_limits_are_refused(module: Any, cuda: Any, launch: dict[str, Any]) -> None:
    """More than 1024 threads in a block, too large or empty grids, and too much shared memory are refused."""
    device = cuda.mem_alloc(400)
    with pytest.raises(cuda.LogicError, match="invalid value"):
        module.get_function("add")(device, np.float32(1), np.int32(1), **launch)


def test_a_kernel_may_only_reach_device_and_mapped_memory(module: Any, fake_driver: FakeDriver, cuda: Any) -> None:
    """As parameters, pinned memory that is not mapped, ordinary memory and freed memory are refused."""
    add, pinned, freed = module.get_function("add"), cuda.pagelocked_zeros(9, np.float32), cuda.mem_alloc(36)
    ordinary, mapped = np.zeros(9, np.float32), cuda.pagelocked_zeros(9, np.float32, mem_flags=2)
    address = int(freed)
    freed.free()
    for wrong in (pinned.ctypes.data, ordinary.ctypes.data, address):
        with pytest.raises(cuda.LogicError, match="illegal address"):
            add(np.uint64(wrong), np.float32(1), np.int32(9), **ONE_BLOCK)
    add(np.uint64(mapped.base.get_device_pointer()), np.float32(1), np.int32(9), **ONE_BLOCK)
    cuda.Context.synchronize()
    assert (mapped == 1).all()
    assert [part in text for part, text in zip(("not mapped", "ordinary", "freed"), fake_driver.reports(), strict=True)]


def test_divergent_barriers_are_reported_and_stay_an_error(module: Any, fake_driver: FakeDriver, cuda: Any) -> None:
    """The error comes after the launch has run, its report names the kernel, and every later call fails."""
    stream, device, raw = cuda.Stream(), cuda.mem_alloc(36), RawCalls()
    module.get_function("divergent")(device, np.float32(1), np.int32(9), stream=stream, **ONE_BLOCK)
    with pytest.raises(cuda.LaunchError):
        stream.synchronize()
    assert raw("cuCtxSynchronize") == "LAUNCH_FAILED"
    assert fake_driver.reports() == ["kernel divergent: the threads of a block wait at different barriers"]


def test_writing_right_behind_an_allocation_is_reported(module: Any, fake_driver: FakeDriver, cuda: Any) -> None:
    """A write into the padding between the allocation and the guard page is an illegal address."""
    device = cuda.mem_alloc(36)
    module.get_function("writes_right_behind")(device, np.float32(1), np.int32(9), **ONE_BLOCK)
    with pytest.raises(cuda.LogicError, match="illegal address"):
        cuda.Context.synchronize()
    assert "kernel writes_right_behind wrote right outside a device allocation of 36 bytes" in fake_driver.reports()


def test_a_kernel_beyond_the_guard_page_ends_in_a_sentence(library: Path) -> None:
    """A kernel that touches the guard page ends the process with a sentence of kernel, offset and allocation."""
    done = run_script(
        f"""
        from tests.fake_cuda import faulty
        driver.use_kernels({str(library)!r})
        kernel = cuda.module_from_buffer(faulty.ptx()).get_function("out_of_bounds")
        kernel(cuda.mem_alloc(400), np.float32(1), np.int32(1), block=(128, 1, 1), grid=(9, 1))
        context.synchronize()
        """
    )
    assert done.returncode != 0
    assert (
        "kernel out_of_bounds touched memory out of bounds: offset 512 of a device allocation of 400 bytes"
        in done.stderr
    )


def test_kernels_of_an_unloaded_module_are_gone(module: Any, fake_driver: FakeDriver, cuda: Any) -> None:
    """A graph with a kernel of an unloaded module is refused at the launch."""
    raw, stream, device = RawCalls(), cuda.Stream(), cuda.mem_alloc(36)
    kept = [cuda.module_from_buffer(faulty.ptx())]
    kept.append(kept[0].get_function("add"))
    parameters = (device, np.float32(1), np.int32(9))
    graph = raw.capture(stream.handle, lambda: kept[1](*parameters, stream=stream, **ONE_BLOCK))
    assert raw("cuGraphLaunch", graph, stream.handle) == "SUCCESS"
    stream.synchronize()
    kept.clear()
    assert raw("cuGraphLaunch", graph, stream.handle) == "ILLEGAL_ADDRESS"
    assert "node 0 (kernel add) uses a module" in fake_driver.reports()[-1]
    raw("cuGraphExecDestroy", graph)


def test_compiled_cubins_load_on_their_compute_capability_only(fake_driver: FakeDriver, cuda: Any) -> None:
    """NVRTC's cubins have every kernel, and load on the same major and no older minor compute capability."""
    try:
        cubin = compile_kernels((8, 6), "fp32")
    except EngineError as error:
        pytest.skip(f"NVRTC IS MISSING: loading compiled kernels was not tested; {error}")
    fake_driver.use_kernels(build_host_kernels("fp32", CACHE))
    for capability, loads in (((8, 6), True), ((8, 7), True), ((8, 0), False), ((9, 0), False)):
        fake_driver.configure(compute_capability=capability)
        if loads:
            module = cuda.module_from_buffer(cubin)
            assert all(module.get_function(name) for name in kernel_names())
        else:
            with pytest.raises(cuda.Error, match="no binary for gpu"):
                cuda.module_from_buffer(cubin)
