"""Compile kernels.cu or loop.cu for one GPU with NVRTC, CUDA's compiler library: no nvcc, no CUDA headers, no GPU."""

from __future__ import annotations

import ctypes
import hashlib
from importlib.resources import files
from typing import Any, Literal

from latentline.errors import EngineError

NAME = "kernels.cu"
LOOP = "loop.cu"  # apart, because an old driver or NVRTC does not have what it calls
# Without fused multiply-add, products and sums round separately, so the host build and NumPy agree to the bit.
OPTIONS = ("--std=c++17", "--fmad=false")
HALF = ("--define-macro=REAL_HALF",)


def kernel_source(name: str = NAME) -> str:
    """The text of kernels.cu, or of loop.cu."""
    return files("latentline.backends.tensorrt.gpu").joinpath(name).read_text(encoding="utf-8")


def source_hash(name: str = NAME) -> str:
    """SHA-256 of the kernels and of their compiler options, for the key of a cache."""
    return hashlib.sha256("\0".join((kernel_source(name), *OPTIONS, *HALF)).encode()).hexdigest()


def nvrtc_version() -> tuple[int, int]:
    """The CUDA version (major, minor) of this machine's NVRTC. Raises EngineError when there is none."""
    return _Nvrtc().version()


def compile_kernels(
    compute_capability: tuple[int, int],
    precision: Literal["fp32", "fp16"],
    source: str | None = None,
    name: str = NAME,
) -> bytes:
    """Compile `source`, by default the file `name`, into a module that the driver can load.

    This is a cubin for the compute capability. For a GPU newer than this NVRTC it is PTX of the newest architecture
    that NVRTC knows, which the driver compiles further. Raises EngineError: no NVRTC, a GPU older than it knows, a
    source that does not compile.
    """
    options = [*OPTIONS, *(HALF if precision == "fp16" else ())]
    return _Nvrtc().compile(kernel_source(name) if source is None else source, name, compute_capability, options)


class _Nvrtc:
    def __init__(self) -> None:
        try:
            from cuda.pathfinder import DynamicLibNotFoundError, load_nvidia_dynamic_lib
        except ImportError as error:
            raise EngineError("the kernels cannot be compiled: install the package cuda-pathfinder") from error
        try:
            path = load_nvidia_dynamic_lib("nvrtc").abs_path
        except DynamicLibNotFoundError as error:
            raise EngineError(
                "the kernels cannot be compiled: NVRTC was not found; install the CUDA toolkit (a Jetson has it with "
                "JetPack) or the package nvidia-cuda-nvrtc of the driver's CUDA version"
            ) from error
        self._library = ctypes.CDLL(path)
        self._library.nvrtcGetErrorString.restype = ctypes.c_char_p

    def version(self) -> tuple[int, int]:
        major, minor = ctypes.c_int(), ctypes.c_int()
        self._call("nvrtcVersion", ctypes.byref(major), ctypes.byref(minor))
        return major.value, minor.value

    def compile(self, source: str, name: str, compute_capability: tuple[int, int], options: list[str]) -> bytes:
        wanted = 10 * compute_capability[0] + compute_capability[1]
        target, exact = self._target(wanted)
        options = [f"--gpu-architecture={'sm' if exact else 'compute'}_{target}", *options]
        program = ctypes.c_void_p()
        self._call("nvrtcCreateProgram", ctypes.byref(program), source.encode(), name.encode(), 0, None, None)
        try:
            given = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
            if self._library.nvrtcCompileProgram(program, len(options), given):
                log = self._bytes("nvrtcGetProgramLog", program).decode(errors="replace")
                raise EngineError(f"{self._title()} cannot compile the kernels for sm_{target}: {_first_error(log)}")
            return self._bytes("nvrtcGetCUBIN" if exact else "nvrtcGetPTX", program)
        finally:
            self._library.nvrtcDestroyProgram(ctypes.byref(program))

    def _target(self, wanted: int) -> tuple[int, bool]:
        """The architecture to compile for, and whether it is the GPU's own."""
        count = ctypes.c_int()
        self._call("nvrtcGetNumSupportedArchs", ctypes.byref(count))
        known = (ctypes.c_int * count.value)()
        self._call("nvrtcGetSupportedArchs", known)
        older = [architecture for architecture in known if architecture <= wanted]
        if not older:
            raise EngineError(
                f"{self._title()} compiles for compute capability {min(known) / 10} and newer, but this GPU has "
                f"{wanted / 10}; install the NVRTC of an older CUDA version"
            )
        return max(older), wanted in older

    def _bytes(self, getter: str, program: ctypes.c_void_p) -> bytes:
        """The output of `nvrtcGet…` for a program, whose size `nvrtcGet…Size` gives."""
        size = ctypes.c_size_t()
        self._call(f"{getter}Size", program, ctypes.byref(size))
        content = ctypes.create_string_buffer(size.value)
        self._call(getter, program, content)
        return content.raw

    def _title(self) -> str:
        major, minor = self.version()
        return f"NVRTC {major}.{minor}"

    def _call(self, name: str, *arguments: Any) -> None:
        if result := getattr(self._library, name)(*arguments):
            raise EngineError(f"{name} failed: {self._library.nvrtcGetErrorString(result).decode()}")


def _first_error(log: str) -> str:
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    return next((line for line in lines if "error" in line), lines[0] if lines else "no message")
