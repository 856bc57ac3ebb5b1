"""A pytest plugin: tests of the search with PyTorch standing in for TensorRT. `-p tests.gpu.plugins.torch_engines`"""

from __future__ import annotations

import pytest

import tests.gpu.standin.module as standin
from tests.gpu.standin.torch_engine import TorchStandIn


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests() -> None:
    """Put PyTorch's engines in the place of ONNX Runtime's before a test imports them."""
    standin.StandIn = TorchStandIn  # type: ignore[misc]
