"""Build the emulated libcuda.so.1, and pycuda against it, on a machine without a driver or a GPU.

python tests/fake_cuda/build.py                         builds the emulation and prints its path
python tests/fake_cuda/build.py --pycuda                builds it and pycuda (about a minute), and installs pycuda into
                                                        this Python
python tests/fake_cuda/build.py --pycuda-wheel FOLDER   writes a wheel of pycuda for this Python, to install elsewhere
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

if __package__:
    from tests.fake_cuda.cuda_header import ToolchainMissing, driver_functions, error_names, find_cuda_include
else:  # as a script, which imports only files beside it
    from cuda_header import (  # type: ignore[import-not-found,no-redef]
        ToolchainMissing,
        driver_functions,
        error_names,
        find_cuda_include,
    )

HERE = Path(__file__).resolve().parent
SOURCES = HERE / "emulation"
CACHE = HERE.parents[1] / ".fake_cuda"
PYCUDA = "pycuda==2026.1"
LIBRARY = "libcuda.so.1"
FLAGS = ["-std=c++20", "-O1", "-g", "-fPIC", "-shared", "-Wall", "-Wextra", "-Wno-deprecated-declarations"]


def build_driver(cache: Path = CACHE) -> Path:
    """The path of the emulated libcuda.so.1, compiled if its sources changed. Raises ToolchainMissing without g++."""
    _need_compiler()
    include = find_cuda_include()
    sources = sorted(SOURCES.glob("*.[ch]*"))
    folder = cache / f"driver-{_digest([*sources, include / 'cuda.h', HERE / 'build.py'])}"
    with locked(cache):
        if not (folder / LIBRARY).exists():
            with tempfile.TemporaryDirectory(dir=cache) as scratch:
                _compile_driver(include, Path(scratch))
                folder.mkdir(exist_ok=True)
                (Path(scratch) / LIBRARY).replace(folder / LIBRARY)
    return folder / LIBRARY


@contextmanager
def locked(cache: Path) -> Iterator[None]:
    """Lock the cache folder for this process, and create it if needed. Others wait for what this process builds."""
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # released when the file is closed
        yield


def _need_compiler() -> None:
    if shutil.which("g++") is None:
        raise ToolchainMissing("no g++: install the package `g++`")


def _digest(paths: list[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _compile_driver(include: Path, folder: Path) -> None:
    """Compile all sources as one unit, after stubs for the functions that they leave out."""
    unit = "".join(f'#include "{path}"\n' for path in sorted(SOURCES.glob("*.cpp")))
    (folder / "driver.cpp").write_text(unit)
    # Weak, so that the linker prefers a function that the emulation has.
    stand_ins = "".join(
        f'__attribute__((weak)) int {name}(void) {{ return fake_cuda_unsupported("{name}"); }}\n'
        for name in driver_functions(include)
    )
    (folder / "unsupported.c").write_text(f"int fake_cuda_unsupported(const char *api);\n{stand_ins}")
    (folder / "error_names.inc").write_text(
        "".join(f'{{{name}, "{name}", "{_words(name)}"}},\n' for name in error_names(include))
    )
    _run(["gcc", "-O1", "-fPIC", "-c", str(folder / "unsupported.c"), "-o", str(folder / "unsupported.o")])
    includes = [f"-I{SOURCES}", f"-I{folder}", f"-I{include}"]
    objects = [str(folder / "driver.cpp"), str(folder / "unsupported.o")]
    target = [f"-Wl,-soname,{LIBRARY}", "-o", str(folder / LIBRARY)]
    _run(["g++", *FLAGS, "-fvisibility=hidden", *includes, *objects, *target, "-ldl"])


def _words(name: str) -> str:
    return name.removeprefix("CUDA_").removeprefix("ERROR_").lower().replace("_", " ")


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr}")


def install_pycuda() -> None:
    """Build pycuda without optimisation and without curand, and install it into this Python."""
    _build_pycuda(["install"], ["-O0", "-w", "-g0"])


def write_pycuda_wheel(folder: Path) -> None:
    """Write a wheel of pycuda for this Python into `folder`, small: without symbols and without curand.

    It links against a stub of the driver, and loads the driver of the machine where it is used.
    """
    _build_pycuda(["wheel", "--no-deps", "--wheel-dir", str(folder)], ["-O1", "-w", "-g0"], {"LDFLAGS": "-Wl,-s"})


def _build_pycuda(command: list[str], flags: list[str], environment: Mapping[str, str] | None = None) -> None:
    """Run a pip command that builds pycuda with these compiler flags."""
    _need_compiler()
    include = find_cuda_include()
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        _link_stub(include, home)
        (home / "include").mkdir()
        if not (include / "cudaProfiler.h").is_file():  # it is in another package
            (home / "include" / "cudaProfiler.h").write_text(_PROFILER_HEADER)
        # pycuda's build reads its settings from this file in the home folder.
        settings = (
            f"CUDA_ENABLE_CURAND = False\nCUDA_INC_DIR = [{str(include)!r}, {str(home / 'include')!r}]\n"
            f"CUDADRV_LIB_DIR = [{str(home)!r}]\nCUDART_LIB_DIR = []\nCXXFLAGS = {flags!r}\n"
        )
        (home / ".aksetup-defaults.py").write_text(settings)
        pip = [sys.executable, "-m", "pip", *command, "--no-binary", "pycuda", "--no-cache-dir", PYCUDA]
        given = {"HOME": str(home), "CFLAGS": " ".join(flags), **(environment or {})}
        subprocess.run(pip, check=True, env={**os.environ, **given})


def _link_stub(include: Path, folder: Path) -> None:
    """Make a libcuda.so that serves only for linking."""
    names = driver_functions(include)
    (folder / "stub.c").write_text("".join(f"int {name}(void) {{ return 34; }}\n" for name in names))
    source, target = str(folder / "stub.c"), str(folder / "libcuda.so")
    _run(["gcc", "-shared", "-fPIC", source, f"-Wl,-soname,{LIBRARY}", "-o", target])


_PROFILER_HEADER = """\
#pragma once
#include <cuda.h>
typedef enum { CU_OUT_KEY_VALUE_PAIR = 0, CU_OUT_CSV = 1 } CUoutput_mode;
extern "C" CUresult cuProfilerInitialize(const char *, const char *, CUoutput_mode);
extern "C" CUresult cuProfilerStart(void);
extern "C" CUresult cuProfilerStop(void);
"""


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Build the tests-only emulation of CUDA, or pycuda without a driver.")
    parser.add_argument("--pycuda", action="store_true", help="build pycuda and install it into this Python")
    parser.add_argument("--pycuda-wheel", type=Path, metavar="FOLDER", help="write pycuda's wheel for this Python")
    arguments = parser.parse_args()
    try:
        if arguments.pycuda_wheel:
            write_pycuda_wheel(arguments.pycuda_wheel)
        elif arguments.pycuda:
            install_pycuda()
            build_driver()  # here rather than in the first test that needs it
        else:
            print(build_driver())
    except ToolchainMissing as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
