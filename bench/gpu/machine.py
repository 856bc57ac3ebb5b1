"""What this machine has for the GPU check. Standard library only: it is asked before anything is unpacked."""

from __future__ import annotations

import ctypes
import subprocess

_TORCH = "import torch; raise SystemExit(0 if torch.cuda.is_available() else 'PyTorch finds no CUDA')"


def missing(python: str) -> str | None:
    """What `make gpu-check` lacks here, in one sentence; None: nothing. python: the interpreter with PyTorch."""
    if reason := _no_gpu():
        return f"the GPU check needs an NVIDIA GPU with its driver, and here {reason}; see bench/gpu/README.md"
    done = subprocess.run([python, "-c", _TORCH], capture_output=True, text=True)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["it ended with an error"])[-1]
        return f"the GPU check needs PyTorch with CUDA in {python}, and there: {reason}; see bench/gpu/README.md"
    return None


def version_of(python: str) -> str | None:
    """The version of an interpreter, e.g. "3.12"; None when it cannot be run."""
    try:
        command = [python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def has_tensorrt(python: str) -> bool:
    """Whether `import tensorrt` works in this interpreter."""
    return subprocess.run([python, "-c", "import tensorrt"], capture_output=True).returncode == 0


def _no_gpu() -> str | None:
    """Why the driver gives no GPU; None: it gives one."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return "there is no driver (libcuda.so.1)"
    if code := driver.cuInit(0):
        return f"the driver does not start (cuInit gives {code})"
    count = ctypes.c_int()
    driver.cuDeviceGetCount(ctypes.byref(count))
    return None if count.value else "the driver knows no GPU"
