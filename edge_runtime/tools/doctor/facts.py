"""Facts about this machine: system, Python, libraries, and what the backend tensorrt needs."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
import platform
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from latentline.backends.tensorrt.gpu import presence
from latentline.base.counted import counted
from latentline.base.version import software_version
from latentline.errors import LatentlineError


@dataclass(frozen=True)
class Fact:
    """One line of the report. ok: None where there is nothing right or wrong."""

    topic: str
    value: str
    ok: bool | None = None


def machine_facts() -> Iterator[Fact]:
    """System, Python, and the libraries that every station needs."""
    yield Fact("latentline", software_version())
    yield Fact("system", f"{platform.platform()}, {counted(os.cpu_count() or 1, 'core')}")
    for topic, name in (("board", "/proc/device-tree/model"), ("Jetson release", "/etc/nv_tegra_release")):
        if (file := Path(name)).exists():
            yield Fact(topic, file.read_text(errors="replace").splitlines()[0].strip("# \0"))
    yield Fact("Python", f"{platform.python_version()} ({sys.executable})", sys.version_info >= (3, 10))
    for package in ("numpy", "openvino", "paho-mqtt", "pydantic"):
        yield _installed(package)
    yield _opencv()


def gpu_facts() -> Iterator[Fact]:
    """GPU and driver, pycuda, TensorRT, NVRTC: the version of each, or what is missing."""
    yield from _probe("GPU", _gpu)
    yield _installed("pycuda", needed=False)
    yield from _probe("TensorRT", lambda: f"{presence.import_tensorrt().__version__}")
    if importlib.util.find_spec("tensorrt_rtx") is not None:
        yield from _probe("TensorRT-RTX", lambda: f"{importlib.import_module('tensorrt_rtx').__version__}")
    yield from _probe("NVRTC", _nvrtc)


def _probe(topic: str, find: Callable[[], str]) -> Iterator[Fact]:
    try:
        yield Fact(topic, find(), True)
    except LatentlineError as error:
        yield Fact(topic, str(error), False)
    except Exception as error:  # a half-installed library raises any exception
        yield Fact(topic, f"cannot be loaded ({type(error).__name__}: {error})", False)


def _gpu() -> str:
    driver = presence.import_pycuda()
    device = driver.Device(0)
    major, minor = device.compute_capability()
    version = driver.get_driver_version()
    integrated = device.get_attribute(driver.device_attribute.INTEGRATED)
    kind = "integrated, uses host memory" if integrated else "with its own memory"
    return (
        f"{device.name()}, compute capability {major}.{minor}, {device.total_memory() >> 20} MiB, {kind}; "
        f"driver for CUDA {version // 1000}.{version % 1000 // 10}"
    )


def _nvrtc() -> str:
    from latentline.backends.tensorrt.gpu.nvrtc import nvrtc_version

    return ".".join(map(str, nvrtc_version()))


def _installed(package: str, needed: bool = True) -> Fact:
    try:
        return Fact(package, importlib.metadata.version(package), True)
    except importlib.metadata.PackageNotFoundError:
        return Fact(package, "not installed", False if needed else None)


def _opencv() -> Fact:
    try:
        cv2 = importlib.import_module("cv2")
    except Exception as error:
        return Fact("OpenCV", f"cannot be loaded ({error}); on a Jetson it comes with JetPack", False)
    found = re.search(r"GStreamer:\s*(\S+)", cv2.getBuildInformation())
    gstreamer = "with GStreamer" if found and found.group(1).upper() == "YES" else "without GStreamer"
    return Fact("OpenCV", f"{cv2.__version__} {gstreamer} ({Path(str(cv2.__file__)).parent})", True)
