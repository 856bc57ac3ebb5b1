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
        raise BackendError("pycuda is not installed; docs/gpu.md explains how to install it") from None
    except ImportError as error:
        reason = "there is no NVIDIA driver" if "libcuda" in str(error) else f"pycuda cannot be loaded ({error})"
        raise BackendError(f"{reason}; install the driver of this machine's GPU") from None
    try:
        driver.init()
        count = driver.Device.count()
    except driver.Error as error:
        raise BackendError(f"the NVIDIA driver cannot start ({error}); see `nvidia-smi`") from None
    if not count:
        raise BackendError("the NVIDIA driver finds no GPU; see `nvidia-smi`")
    return driver


def import_tensorrt(flavour: Flavour = "tensorrt") -> ModuleType:
    """The TensorRT module. Checks first that what prepares graphs for it is installed. Raises BackendError."""
    try:
        importlib.import_module("latentline.backends.tensorrt.engines.engine_set")
    except ModuleNotFoundError as error:
        raise BackendError(f"{error.name} is not installed; install the extra `gpu`, as docs/gpu.md explains") from None
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
    except Exception as error:  # a broken installation may raise anything
        raise BackendError(f"{flavour} cannot be loaded ({error}); install it again") from None
