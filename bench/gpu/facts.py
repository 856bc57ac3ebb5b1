"""Print what this machine is: GPU, driver, interpreter, libraries. What is missing does not stop the rest."""

from __future__ import annotations

import importlib
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version

from latentline.base.counted import counted

LIBRARIES = ("torch", "openvino", "onnx", "onnxruntime", "onnxscript", "numpy", "hypothesis", "pydantic", "pycuda")
SMI = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total,compute_cap,clocks.sm", "--format=csv"]


def main() -> int:
    """Print a line for each."""
    print(f"{platform.platform()}, {counted(len(os.sched_getaffinity(0)), 'core')}, Python {platform.python_version()}")
    print(", ".join(f"{name} {_version(name)}" for name in LIBRARIES))
    failed = [name for name, fact in FACTS.items() if not _print(name, fact)]
    return 1 if failed else 0


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:  # unpacked without its metadata, or not there
        try:
            return str(getattr(importlib.import_module(name), "__version__", "unpacked"))
        except ImportError:
            return "is missing"


def _print(name: str, fact: Callable[[], str]) -> bool:
    try:
        print(f"{name}: {fact()}")
    except Exception as error:
        print(f"{name}: {type(error).__name__}: {error}", file=sys.stderr)
        return False
    return True


def _smi() -> str:
    return subprocess.run(SMI, check=True, capture_output=True, text=True).stdout.strip()


def _pycuda() -> str:
    from latentline.backends.tensorrt.gpu.presence import import_pycuda

    cuda = import_pycuda()
    device = cuda.Device(0)
    return f"{device.name()}, compute capability {device.compute_capability()}, driver {cuda.get_driver_version()}"


def _torch() -> str:
    import torch

    return f"{torch.cuda.get_device_name()}, cuDNN {torch.backends.cudnn.version()}"  # type: ignore[no-untyped-call]


def _nvrtc() -> str:
    from latentline.backends.tensorrt.gpu.nvrtc import nvrtc_version

    return ".".join(map(str, nvrtc_version()))


FACTS: dict[str, Callable[[], str]] = {"nvidia-smi": _smi, "pycuda": _pycuda, "PyTorch": _torch, "NVRTC": _nvrtc}

if __name__ == "__main__":
    raise SystemExit(main())
