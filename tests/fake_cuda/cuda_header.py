"""Find cuda.h of CUDA 13 or later, and read the driver's functions and error codes from it."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

OLDEST_VERSION = 13000  # pycuda and the emulation must agree on versioned names such as cuCtxCreate_v4
PROFILER_FUNCTIONS = ("cuProfilerInitialize", "cuProfilerStart", "cuProfilerStop")  # from cudaProfiler.h


class ToolchainMissing(Exception):
    """Something that the emulation needs is not installed. The message says what, and how to get it."""


def find_cuda_include() -> Path:
    """The folder of cuda.h, from CUDA_HOME, /usr/local/cuda or the package nvidia-cuda-runtime."""
    for folder in _candidates():
        header = folder / "cuda.h"
        if header.is_file() and _version(header) >= OLDEST_VERSION:
            return folder
    raise ToolchainMissing(
        "no cuda.h of CUDA 13 in $CUDA_HOME or /usr/local/cuda: pip install 'nvidia-cuda-runtime>=13' brings one"
    )


def _candidates() -> Iterator[Path]:
    if home := os.environ.get("CUDA_HOME"):
        yield Path(home) / "include"
    yield Path("/usr/local/cuda/include")
    package = importlib.util.find_spec("nvidia")
    for place in (package.submodule_search_locations or []) if package else []:
        yield from sorted(Path(place).glob("cu1[3-9]/include"))


def _version(header: Path) -> int:
    match = re.search(r"#define CUDA_VERSION (\d+)", header.read_text())
    return int(match[1]) if match else 0


def driver_functions(include: Path) -> list[str]:
    """The names of all functions of the driver library, with the versions that the header's macros add."""
    source = (include / "cuda.h").read_text()
    command = ["g++", "-E", "-P", "-x", "c++", str(include / "cuda.h")]
    expanded = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    current = set(re.findall(r"\bCUresult\s+(cu[A-Z]\w+)\s*\(", expanded))
    versioned = set(re.findall(r"#\s*define\s+cu\w+\s+(?:__CUDA_API_\w+\()?(cu[A-Z]\w+)", source))
    return sorted(current | versioned | set(PROFILER_FUNCTIONS))


def error_names(include: Path) -> list[str]:
    """The names of all values of CUresult."""
    return re.findall(r"\b(CUDA_SUCCESS|CUDA_ERROR_\w+)\s*=\s*\d+", (include / "cuda.h").read_text())
