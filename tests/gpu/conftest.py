"""Fixtures of the tests-only CUDA driver, and what the driver checks run on with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fake_cuda.conftest import fake_driver, loaded_fake_driver
from tests.fake_cuda.driver import FakeDriver
from tests.gpu.driver_checks.rig import Rig
from tests.gpu.standin.torch_engine import TorchStandIn

__all__ = ["fake_driver", "loaded_fake_driver"]


@pytest.fixture(scope="session")
def engine_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Host-built kernels, compiled kernels and engines, made once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def rig(fake_driver: FakeDriver, engine_cache: Path) -> Rig:
    """The tests-only driver, with PyTorch's engines on the CPU."""
    return Rig(TorchStandIn("cpu"), engine_cache, fake_driver, precisions=["fp32"])
