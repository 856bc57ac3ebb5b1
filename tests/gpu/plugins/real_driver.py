"""A pytest plugin: tests written for the tests-only CUDA driver, on the real one. `-p tests.gpu.plugins.real_driver`

Kernels are compiled for the GPU. A test that asks the emulation for more than to be there (it counts calls, plants a
fault, configures the device) is skipped and says why.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import pytest

import tests.fake_cuda.driver as driver
import tests.fake_cuda.host_kernels as host_kernels
import tests.fake_cuda.scripts as scripts


class RealDriver:
    """In the place of `FakeDriver`."""

    @classmethod
    def load(cls, *_: object) -> RealDriver:
        return cls()

    def reset(self) -> None:
        pass

    def use_kernels(self, path: Path) -> None:
        pass

    def leaks(self) -> list[str]:
        return []

    def reports(self) -> list[str]:
        return []

    def __getattr__(self, name: str) -> Any:
        pytest.skip(f"NEEDS THE CUDA EMULATION: the driver cannot do {name}")


def _no_host_kernels(precision: str, folder: Path, sources: Sequence[Path] = ()) -> Path:
    return folder


def _no_script(script: str, start: str = "") -> NoReturn:
    pytest.skip("NEEDS THE CUDA EMULATION: this test runs it in a process of its own")


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests() -> None:
    """Take the emulation away before a test imports it."""
    driver.FakeDriver = RealDriver  # type: ignore[misc,assignment]
    host_kernels.build_host_kernels = _no_host_kernels
    scripts.run_script = _no_script
