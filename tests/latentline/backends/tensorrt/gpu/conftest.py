"""The kernels built for the host, once for all tests."""

from __future__ import annotations

import shutil
from collections.abc import Callable

import pytest

from tests.fake_cuda.host_kernels import HostKernels, build_host_kernels
from tests.paths import FAKE_CUDA


@pytest.fixture(scope="session")
def host() -> Callable[[str], HostKernels]:
    """The host-built kernels of a precision."""
    if shutil.which("g++") is None:
        pytest.skip("G++ IS MISSING: the kernels' host build was not tested; install the package `g++`")
    built = {p: HostKernels(build_host_kernels(p, FAKE_CUDA)) for p in ("fp32", "fp16")}
    return built.__getitem__


@pytest.fixture(scope="session")
def host_fp32(host: Callable[[str], HostKernels]) -> HostKernels:
    return host("fp32")
