"""One thread for every library of mathematics, Hypothesis without a clock, and a real broker for the tests that ask."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.mosquitto import Mosquitto

# Before anything imports NumPy, PyTorch or OpenCV (nothing above does); the processes that a test starts inherit it.
# Threads of several test processes wait for one another by spinning, and the order of a sum depends on their number.
for _library in ("OMP", "OPENBLAS", "MKL"):
    os.environ[f"{_library}_NUM_THREADS"] = "1"

# A deadline, or a check of how long examples take to make, fails on a busy machine and says nothing about the code.
settings.register_profile("latentline", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("latentline")


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    """A mosquitto of this test's own, not started yet."""
    if shutil.which("mosquitto") is None and not Path("/usr/sbin/mosquitto").exists():
        pytest.skip("MOSQUITTO IS MISSING: the MQTT tests did not run; install the package `mosquitto`")
    broker = Mosquitto(tmp_path / "broker")
    yield broker
    broker.stop()
