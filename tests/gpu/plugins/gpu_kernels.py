"""A pytest plugin: the tests of kernels.cu on a GPU instead of on its host build. `-p tests.gpu.plugins.gpu_kernels`

NVRTC compiles the kernels for this GPU. With `--emulated` they run on the tests-only driver: a rehearsal of the plugin.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pytest

import tests.fake_cuda.host_kernels as host_kernels
from latentline.backends.tensorrt.gpu.launch import KERNELS, Launch
from latentline.backends.tensorrt.gpu.nvrtc import compile_kernels
from tests.fake_cuda.driver import FakeDriver

SLACK = 4096  # bytes of canaries on either side of a buffer
Build = Callable[[Literal["fp32", "fp16"], Path], Path]


class GpuBuffer:
    """As `Buffer`: an array with canaries around it. `aligned` as the driver allocates, else to the element only.

    It is page-locked memory of the host that the GPU sees, so NumPy looks at it in place.
    """

    def __init__(self, contents: npt.NDArray[Any], aligned: bool = True) -> None:
        import pycuda.driver as cuda

        before = SLACK + (0 if aligned else contents.itemsize)
        pinned = cuda.pagelocked_empty(
            before + contents.nbytes + SLACK, np.uint8, mem_flags=cuda.host_alloc_flags.DEVICEMAP
        )
        pinned[:] = host_kernels.CANARY
        self._slack = pinned[:before], pinned[before + contents.nbytes :]
        inside = pinned[before : before + contents.nbytes].view(contents.dtype)
        self.array: npt.NDArray[Any] = inside.reshape(contents.shape)
        self.array[...] = contents
        self.address = int(pinned.base.get_device_pointer()) + before

    @classmethod
    def empty(cls, shape: tuple[int, ...], dtype: npt.DTypeLike, aligned: bool = True) -> GpuBuffer:
        """A buffer nobody has written: all bits set, which is NaN."""
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        return cls(np.full(size, 0xFF, np.uint8).view(dtype).reshape(shape), aligned)

    def read(self) -> npt.NDArray[Any]:
        """What it holds. Raises KernelFault when something was written beside it."""
        if any((slack != host_kernels.CANARY).any() for slack in self._slack):
            raise host_kernels.KernelFault("memory beside a buffer was written")
        return np.array(self.array)


class GpuKernels:
    """As `HostKernels`: runs a launch and waits for it. library: a cubin of kernels.cu for this GPU."""

    def __init__(self, library: Path) -> None:
        import pycuda.driver as cuda

        self._module = cuda.module_from_buffer(library.read_bytes())
        self._functions = {name: self._module.get_function(name) for name in KERNELS}

    def run(self, launch: Launch) -> None:
        """Run it to its end. Raises what the driver says."""
        import pycuda.driver as cuda

        function = self._functions[launch.name]
        function(*launch.arguments, grid=launch.grid, block=launch.block, shared=launch.shared)
        cuda.Context.synchronize()


class PrimaryContext:
    """The GPU's primary context, current until the tests have ended; on the emulation where there is one."""

    def __init__(self, emulation: FakeDriver | None, host_build: Build) -> None:
        import pycuda.driver as cuda

        cuda.init()
        device = cuda.Device(0)
        self._emulation, self._host_build = emulation, host_build
        self._capability: tuple[int, int] = device.compute_capability()
        self._context = device.retain_primary_context()
        self._context.push()

    def build(self, precision: Literal["fp32", "fp16"], folder: Path) -> Path:
        """In the place of `build_host_kernels`: a cubin in `folder`."""
        if self._emulation is not None:  # it runs the host's build of whatever module is loaded next
            self._emulation.use_kernels(self._host_build(precision, folder))
        folder.mkdir(parents=True, exist_ok=True)
        cubin = folder / f"kernels-{precision}.cubin"
        cubin.write_bytes(compile_kernels(self._capability, precision))
        return cubin

    def pytest_sessionfinish(self) -> None:
        """Give the context back once nothing of it is in use."""
        gc.collect()
        self._context.pop()
        self._context.detach()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--emulated`."""
    parser.addoption("--emulated", action="store_true", help="run the kernels on the tests-only CUDA driver")


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Put the GPU in the place of the host's build before a test imports it."""
    emulation = FakeDriver.load() if early_config.known_args_namespace.emulated else None
    context = PrimaryContext(emulation, host_kernels.build_host_kernels)
    early_config.pluginmanager.register(context)
    host_kernels.Buffer = GpuBuffer  # type: ignore[misc,assignment]
    host_kernels.HostKernels = GpuKernels  # type: ignore[misc,assignment]
    host_kernels.build_host_kernels = context.build  # type: ignore[assignment]
