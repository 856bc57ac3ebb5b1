"""Whether this machine can run the tensorrt backend, and if not, what is missing."""

from __future__ import annotations

import importlib
from types import ModuleType

from latentline.errors import BackendError


def import_pycuda() -> ModuleType:
    """`pycuda.driver`, initialised. Raises BackendError: not installed, no driver, no GPU."""
    try:
        driver = importlib.import_module("pycuda.driver")
    except ModuleNotFoundError:
        raise BackendError("pycuda is not installed; docs/gpu.md tells how to install it") from None
    except ImportError as error:
        reason = "there is no NVIDIA driver" if "libcuda" in str(error) else f"pycuda cannot be loaded ({error})"
        raise BackendError(f"{reason}; install the driver of this machine's GPU") from None
    try:
        driver.init()
        found = driver.Device.count()
    except driver.Error as error:
        raise BackendError(f"the NVIDIA driver does not start ({error}); see `nvidia-smi`") from None
    if not found:
        raise BackendError("the NVIDIA driver knows no GPU; see `nvidia-smi`")
    return driver


def import_tensorrt() -> ModuleType:
    """The TensorRT module. Raises BackendError when it is not installed or cannot be loaded."""
    try:
        return importlib.import_module("tensorrt")
    except ModuleNotFoundError:
        raise BackendError(
            "TensorRT's Python module is not installed; on a Jetson it comes with JetPack (a virtual environment needs "
            "--system-site-packages), elsewhere `pip install tensorrt`"
        ) from None
    except Exception as error:  # a broken installation raises whatever its loader met
        raise BackendError(f"TensorRT cannot be loaded ({error}); install it again") from None
