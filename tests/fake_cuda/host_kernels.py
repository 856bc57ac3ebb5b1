"""kernels.cu and loop.cu built by g++ and run on the host, thread by thread. This tests their logic, not a GPU."""

from __future__ import annotations

import ctypes
import hashlib
import mmap
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from latentline.backends.tensorrt.gpu.launch import Launch
from tests.fake_cuda.build import locked
from tests.paths import KERNELS, LOOP

SHIM = Path(__file__).with_name("host_device.h")
# -ffp-contract=off is --fmad=false of the device: products and sums round separately, as in NumPy
FLAGS = ("-std=c++20", "-O2", "-g", "-fPIC", "-shared", "-ffp-contract=off", "-fvisibility=hidden", "-Wall")
SANITISE = (
    "-fsanitize=alignment,bounds,shift,signed-integer-overflow,integer-divide-by-zero,float-cast-overflow",
    "-fsanitize-undefined-trap-on-error",
    "-U_FORTIFY_SOURCE",  # a fortified longjmp refuses to leave a fiber's stack
)
FAULTS = {
    1: "threads of a block wait at different barriers",
    2: "a block wrote behind its shared memory, or asks for more than there is",
    3: "memory outside the buffers was touched",
    4: "a vector is misaligned, or a number overflows",
}
CANARY = 0xA5
ALIGNMENT = 256  # bytes, as cuMemAlloc


class KernelFault(Exception):
    """A kernel did something that a GPU punishes."""


def kernel_names(source: Path = KERNELS) -> list[str]:
    """The names of the kernels in a .cu file."""
    declared = r'extern "C" __global__ void\s+(?:__launch_bounds__\(\d+\)\s*)?(\w+)\('
    return re.findall(declared, source.read_text(encoding="utf-8"))


def build_host_kernels(
    precision: Literal["fp32", "fp16"], folder: Path, sources: Sequence[Path] = (KERNELS, LOOP)
) -> Path:
    """The path of the shared library of all kernels in `folder`, built by g++ if its sources changed."""
    compiler = shutil.which("g++")
    if compiler is None:
        raise FileNotFoundError("g++ is not installed")
    version = subprocess.run([compiler, "--version"], capture_output=True, check=True).stdout
    options = [*FLAGS, *SANITISE, *(["-DREAL_HALF"] if precision == "fp16" else [])]
    texts = [path.read_bytes() for path in (*sources, SHIM)]
    key = hashlib.sha256(b"\0".join([*texts, version, repr(options).encode()]))
    library = folder / f"kernels-{precision}-{key.hexdigest()[:16]}.so"
    with locked(folder):
        if not library.exists():
            _compile(compiler, options, sources, library)
    return library


def _compile(compiler: str, options: list[str], sources: Sequence[Path], library: Path) -> None:
    exports = "".join(f"HOST_KERNEL({name})\n" for source in sources for name in kernel_names(source))
    includes = "".join(f'#include "{path}"\n' for path in (SHIM, *sources))
    unit = f"{includes}{exports}"
    with tempfile.TemporaryDirectory(dir=library.parent) as scratch:
        built = Path(scratch) / library.name
        command = [compiler, *options, "-x", "c++", "-", "-o", str(built)]
        subprocess.run(command, input=unit, text=True, check=True)
        built.replace(library)


_SetCondition = ctypes.CFUNCTYPE(None, ctypes.c_ulonglong, ctypes.c_uint)


class _HostKernel(ctypes.Structure):
    _fields_ = (
        ("parameters", ctypes.c_int),
        ("bytes", ctypes.c_size_t),
        ("offsets", ctypes.POINTER(ctypes.c_size_t)),
        ("sizes", ctypes.POINTER(ctypes.c_size_t)),
        (
            "run",
            ctypes.CFUNCTYPE(
                ctypes.c_int,
                ctypes.POINTER(ctypes.c_uint),
                ctypes.POINTER(ctypes.c_uint),
                ctypes.c_size_t,
                ctypes.c_char_p,
            ),
        ),
    )


class HostKernels:
    """Runs launches on host memory, with a library from `build_host_kernels`.

    conditions  the value that a kernel last gave each condition of a loop, by the condition's handle
    """

    def __init__(self, library: Path) -> None:
        self._library = ctypes.CDLL(str(library))
        self.conditions: dict[int, int] = {}
        self._set_condition = _SetCondition(self.conditions.__setitem__)

    def run(self, launch: Launch) -> None:
        """Run every block. Raises KernelFault that names the kernel, when it or its arguments are wrong."""
        kernel = _HostKernel.in_dll(self._library, f"host_kernel_{launch.name}")
        arguments = self._pack(kernel, launch)
        variable = ctypes.c_void_p.in_dll(self._library, "host_set_condition")  # the emulated driver may have set it
        variable.value = ctypes.cast(self._set_condition, ctypes.c_void_p).value
        fault = kernel.run(
            (ctypes.c_uint * 3)(*launch.grid), (ctypes.c_uint * 3)(*launch.block), launch.shared, arguments
        )
        if fault:
            raise KernelFault(f"{launch.name}: {FAULTS[fault]}")

    @staticmethod
    def _pack(kernel: Any, launch: Launch) -> bytes:
        if kernel.parameters != len(launch.arguments):
            raise KernelFault(f"{launch.name}: takes {kernel.parameters} arguments, not {len(launch.arguments)}")
        packed = bytearray(kernel.bytes)
        for i, argument in enumerate(launch.arguments):
            offset, size = kernel.offsets[i], kernel.sizes[i]
            if argument.nbytes != size:
                raise KernelFault(f"{launch.name}: argument {i} has {size} bytes, not {argument.nbytes}")
            packed[offset : offset + size] = argument.tobytes()
        return bytes(packed)


class Buffer:
    """An array in memory that detects a kernel's writes outside it.

    A guard page follows the array, and the rest around it holds a canary. An `aligned` array starts like memory from
    the driver. Any other ends right before the guard page, and its start is only aligned to the element.
    """

    def __init__(self, contents: npt.NDArray[Any], aligned: bool = True) -> None:
        step = ALIGNMENT if aligned else contents.itemsize
        room = -(-contents.nbytes // step) * step
        pages = (-(-room // mmap.PAGESIZE) + 1) * mmap.PAGESIZE
        self._memory = mmap.mmap(-1, pages)
        everything = np.frombuffer(self._memory, np.uint8)
        start = everything.ctypes.data
        if ctypes.CDLL(None, use_errno=True).mprotect(
            ctypes.c_void_p(start + pages - mmap.PAGESIZE), ctypes.c_size_t(mmap.PAGESIZE), 0
        ):
            raise OSError(ctypes.get_errno(), "mprotect")
        begin = pages - mmap.PAGESIZE - room
        self._slack = everything[:begin], everything[begin + contents.nbytes : pages - mmap.PAGESIZE]
        for slack in self._slack:
            slack[:] = CANARY
        view = everything[begin : begin + contents.nbytes].view(contents.dtype)
        self.array: npt.NDArray[Any] = view.reshape(contents.shape)
        self.array[...] = contents
        self.address = start + begin

    @classmethod
    def empty(cls, shape: tuple[int, ...], dtype: npt.DTypeLike, aligned: bool = True) -> Buffer:
        """A buffer that nobody has written: all bits are set, which is NaN."""
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        return cls(np.full(size, 0xFF, np.uint8).view(dtype).reshape(shape), aligned)

    def read(self) -> npt.NDArray[Any]:
        """A copy of the contents. Raises KernelFault when something was written beside them."""
        if any((slack != CANARY).any() for slack in self._slack):
            raise KernelFault("memory beside a buffer was written")
        contents: npt.NDArray[Any] = self.array.copy()
        return contents
