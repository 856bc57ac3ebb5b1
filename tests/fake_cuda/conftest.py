"""Fixtures of the emulated CUDA driver. Other folders may import them into their own conftest."""

from __future__ import annotations

import gc
import importlib.util
from collections.abc import Iterator
from typing import Any

import pytest

from tests.fake_cuda.cuda_header import ToolchainMissing
from tests.fake_cuda.driver import FakeDriver, RealDriverLoaded


@pytest.fixture(scope="session")
def loaded_fake_driver() -> FakeDriver:
    """The emulated driver, loaded before pycuda."""
    if importlib.util.find_spec("pycuda") is None:
        pytest.skip("PYCUDA IS NOT INSTALLED: the CUDA emulation did not run; make emulation")
    try:
        return FakeDriver.load()
    except (ToolchainMissing, RealDriverLoaded) as error:
        pytest.skip(f"THE CUDA EMULATION DID NOT RUN: {error}")


@pytest.fixture
def fake_driver(loaded_fake_driver: FakeDriver) -> Iterator[FakeDriver]:
    """The emulated driver after a reset. The test must release everything that it makes.

    Older objects are frozen, as those from before all tests are. They hold nothing of the driver, and a garbage
    collection that walks all of PyTorch takes a second.
    """
    loaded_fake_driver.reset()
    gc.collect(1)  # what the tests before have left behind, which would stay for ever
    gc.freeze()
    yield loaded_fake_driver
    gc.collect()
    leaks = loaded_fake_driver.leaks()
    loaded_fake_driver.reset()
    assert not leaks, f"not released: {leaks}"


@pytest.fixture
def primary_context(fake_driver: FakeDriver) -> Iterator[None]:
    """The device's primary context, current on this thread."""
    import pycuda.driver as cuda

    cuda.init()
    context = cuda.Device(0).retain_primary_context()
    context.push()
    yield
    gc.collect()
    context.pop()
    context.detach()


@pytest.fixture
def cuda(primary_context: None) -> Any:
    """The module pycuda.driver, on the emulation."""
    import pycuda.driver

    return pycuda.driver
