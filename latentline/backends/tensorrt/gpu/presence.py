"""Whether this machine can run the tensorrt backend, and if not, what is missing."""

from __future__ import annotations

import importlib
from types import ModuleType

from latentline.backends.settings import Flavour
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


def import_tensorrt(flavour: Flavour = "tensorrt") -> ModuleType:
    """The TensorRT module, with what prepares graphs for it. Raises BackendError: not installed, cannot be loaded."""
    try:
        importlib.import_module("latentline.backends.tensorrt.engines.engine_set")
    except ModuleNotFoundError as error:
        raise BackendError(f"{error.name} is not installed; docs/gpu.md tells what the extra `gpu` brings") from None
    try:
        return importlib.import_module(flavour)
    except ModuleNotFoundError:
        source = (
            "on a Jetson it comes with JetPack (a virtual environment needs --system-site-packages), elsewhere "
            if flavour == "tensorrt"
            else ""
        )
        raise BackendError(
            f"TensorRT's Python module {flavour} is not installed; {source}`pip install {flavour.replace('_', '-')}`"
        ) from None
    except Exception as error:  # a broken installation raises whatever its loader met
        raise BackendError(f"{flavour} cannot be loaded ({error}); install it again") from None
