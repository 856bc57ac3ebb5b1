"""A real broker for the tests that need one, and PyTorch on one thread."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mosquitto import Mosquitto


@pytest.fixture(autouse=True, scope="session")
def one_torch_thread() -> None:
    """PyTorch's threads wait for one another by spinning, which is slow beside other work. A station has no PyTorch."""
    try:
        import torch
    except ImportError:
        return
    torch.set_num_threads(1)


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    """A mosquitto of this test's own, not started yet."""
    if shutil.which("mosquitto") is None and not Path("/usr/sbin/mosquitto").exists():
        pytest.skip("MOSQUITTO IS MISSING: the MQTT tests did not run; install the package `mosquitto`")
    broker = Mosquitto(tmp_path / "broker")
    yield broker
    broker.stop()
