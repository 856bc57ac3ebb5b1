"""Pack what an air-gapped machine with a GPU lacks: python -m bench.gpu.pack [--python PYTHON] [--rtx] [--data FOLDER]

Run it where the package index is, in the checkout's root. It makes `.gpu-kit/carry/main` (and `rtx-1`, `rtx-2`, …,
`data`), to be carried to the same place in the checkout over there. Each is less than 64 MiB. It needs g++ and cuda.h
of CUDA 13 to build pycuda, which has no wheels.

The machine over there must have, for the Python version of PYTHON: PyTorch with CUDA, NumPy, OpenCV, onnx, onnx-ir,
onnxscript, onnxruntime, pytest, hypothesis; and the driver, and NVRTC or the CUDA toolkit.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from bench.gpu.machine import version_of
from bench.gpu.steps import CARRIED, KIT, ROOT

LIMIT = 64 << 20  # bytes of one folder to carry
PIECE = 50 << 20  # bytes of one piece of TensorRT-RTX
WHEELS = (
    *("openvino", "paho-mqtt", "prometheus-client", "pydantic", "pydantic-core", "annotated-types"),
    *("typing-inspection", "tensorboardX", "pytools", "siphash24", "platformdirs", "mako", "jsonschema"),
    *("jsonschema-specifications", "referencing", "rpds-py"),
)
# Needed to import what is packed, and there on the other machine.
THERE = ("numpy", "typing-extensions", "packaging", "markupsafe", "attrs")
IMPORTED = (
    "import openvino, pydantic, paho.mqtt, prometheus_client, pytools, siphash24; openvino.Core().available_devices"
)
# Parts of OpenVINO that a search on the CPU never loads.
UNUSED = (
    *(f"openvino/{name}" for name in ("include", "tools", "torch", "cmake", "libs/cache.json")),
    *(f"openvino/frontend/{name}" for name in ("pytorch", "tensorflow", "paddle", "jax")),
    *(
        f"openvino/libs/libopenvino_{name}*"
        for name in ("intel_gpu_plugin", "intel_npu_plugin", "tensorflow", "pytorch")
    ),
    *(f"openvino/libs/libopenvino_{name}*" for name in ("paddle", "gguf", "jax", "auto_batch", "hetero")),
)
RTX = ("tensorrt-rtx-cu13-libs==1.7.1.116", "tensorrt-rtx-cu13-bindings==1.7.1.116")
# `import tensorrt_rtx` is the one file of a third package.
RTX_MODULE = "from tensorrt_rtx_bindings import *\nfrom tensorrt_rtx_bindings import __version__\n"


class Unpackable(Exception):
    """What stopped the packing, and what to do, in one sentence."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Pack, and print the size of each folder to carry."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default="python3.12", help="of the version over there (python3.12)")
    parser.add_argument("--rtx", action="store_true", help="pack TensorRT-RTX as well, 235 MB of library")
    parser.add_argument("--data", type=Path, help="images for the step `fit`")
    options = parser.parse_args(arguments)
    try:
        python = environment(options.python)
        pack_site(python)
        if options.rtx:
            pack_rtx(python)
        if options.data:
            shutil.copytree(options.data, CARRIED / "data" / options.data.name, dirs_exist_ok=True)
        for folder in sorted(CARRIED.iterdir()):
            print(f"{folder.relative_to(ROOT)}: {checked_size(folder) / (1 << 20):.1f} MiB")
    except Unpackable as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except subprocess.CalledProcessError as error:
        print(f"error: {' '.join(map(str, error.cmd[:6]))} … failed, and says why above", file=sys.stderr)
        return 1
    return 0


def environment(python: str) -> Path:
    """The interpreter of a virtual environment in .gpu-kit, made from `python` where there is none of its version.

    Raises Unpackable when `python` cannot be run.
    """
    version = version_of(python)
    if version is None:
        raise Unpackable(f"{python} cannot be run; give the Python of the version over there with --python")
    made = KIT / f"venv-{version}" / "bin" / "python"
    if not made.exists():
        subprocess.run([python, "-m", "venv", str(made.parents[1])], check=True)
        _pip(made, "install", *THERE)
    return made


def pack_site(python: Path) -> None:
    """Write carry/main/site-VERSION.tar.xz: one folder for PYTHONPATH, for Pythons of that version."""
    version = version_of(str(python))
    wheels, site = KIT / f"wheels-{version}", KIT / "site"
    wheels.mkdir(parents=True, exist_ok=True)
    _pip(python, "download", "--no-deps", "--only-binary=:all:", "-d", str(wheels), *WHEELS)
    if not list(wheels.glob("pycuda-*.whl")):
        if not Path("/usr/local/cuda/include/cuda.h").is_file():
            _pip(python, "install", "nvidia-cuda-runtime>=13")
        build = ROOT / "tests/fake_cuda/build.py"
        subprocess.run([str(python), str(build), "--pycuda-wheel", str(wheels)], check=True)
    extract(wheels.glob("*.whl"), site)
    remove(site, (*UNUSED, "**/*.pyi"))
    subprocess.run([str(python), "-c", IMPORTED], check=True, cwd=site)
    remove(site, ("**/__pycache__",))
    compress(site, CARRIED / "main" / f"site-{version}.tar.xz")


def pack_rtx(python: Path) -> None:
    """Write TensorRT-RTX in pieces: carry/rtx-1/rtx.tar.xz.1, carry/rtx-2/rtx.tar.xz.2, …"""
    wheels, site = KIT / "wheels-rtx", KIT / "rtx"
    wheels.mkdir(parents=True, exist_ok=True)
    _pip(python, "download", "--no-deps", "--only-binary=:all:", "-d", str(wheels), *RTX)
    extract(wheels.glob("*.whl"), site)
    (site / "tensorrt_rtx").mkdir(exist_ok=True)
    (site / "tensorrt_rtx" / "__init__.py").write_text(RTX_MODULE, encoding="utf-8")
    whole = KIT / "rtx.tar.xz"
    compress(site, whole)
    for place in CARRIED.glob("rtx-*"):
        shutil.rmtree(place)
    split(whole, CARRIED, PIECE)


def extract(wheels: Iterable[Path], folder: Path) -> None:
    """Unzip wheels into `folder`, which is emptied first."""
    if folder.exists():
        shutil.rmtree(folder)
    for wheel in sorted(wheels):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder)


def remove(folder: Path, patterns: Sequence[str]) -> None:
    """Remove the files and folders that match."""
    for found in [path for pattern in patterns for path in folder.glob(pattern)]:
        if found.is_dir():
            shutil.rmtree(found)
        else:
            found.unlink(missing_ok=True)


def compress(folder: Path, archive: Path) -> None:
    """Write the content of `folder` as a .tar.xz."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive, "w:xz", preset=6) as file:
        for path in sorted(folder.iterdir()):
            file.add(path, path.name)


def split(archive: Path, out: Path, size: int) -> list[Path]:
    """Cut a file into pieces of at most `size` bytes, each in a folder of its own: out/rtx-1/NAME.1, …"""
    pieces: list[Path] = []
    with archive.open("rb") as file:
        while content := file.read(size):
            number = len(pieces) + 1
            piece = out / f"rtx-{number}" / f"{archive.name}.{number}"
            piece.parent.mkdir(parents=True, exist_ok=True)
            piece.write_bytes(content)
            pieces.append(piece)
    return pieces


def checked_size(folder: Path, limit: int = LIMIT) -> int:
    """The bytes of all files in a folder to carry. Raises Unpackable when they are more than `limit`."""
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    if size > limit:
        raise Unpackable(
            f"{folder} has {size / (1 << 20):.0f} MiB, and at most {limit >> 20} can be carried: "
            "leave images out of --data"
        )
    return size


def _pip(python: Path, *arguments: str) -> None:
    subprocess.run([str(python), "-m", "pip", "--disable-pip-version-check", "-q", *arguments], check=True)


if __name__ == "__main__":
    raise SystemExit(main())
