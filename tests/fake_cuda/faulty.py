"""Faulty host-built kernels, and a PTX image that names them."""

from __future__ import annotations

import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_name("faulty_kernels.cpp")
KERNELS = ("add", "out_of_bounds", "writes_right_behind", "divergent", "only_in_the_image")


def build(folder: Path) -> Path:
    """Compile the shared library of faulty kernels into `folder`."""
    library = folder / "faulty_kernels.so"
    command = ["g++", "-std=c++20", "-O0", "-g", "-fPIC", "-shared", "-Wall", str(SOURCE), "-o", str(library)]
    subprocess.run(command, check=True)
    return library


def ptx(version: str = "8.0", target: str = "sm_75") -> bytes:
    """PTX that declares every kernel, as a driver gets it."""
    entries = "".join(f".visible .entry {name}(.param .u64 p)\n{{ ret; }}\n" for name in KERNELS)
    return f".version {version}\n.target {target}\n.address_size 64\n{entries}".encode() + b"\0"
