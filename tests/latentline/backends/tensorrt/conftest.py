"""Models to build engines for, and the real TensorRT-RTX, which builds without a GPU."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import pytest

from latentline.package.model_package import ModelPackage, load_package
from tests.fake_cuda.conftest import fake_driver, loaded_fake_driver
from tests.paths import DEMO_MODEL

__all__ = ["fake_driver", "loaded_fake_driver"]  # the emulated driver, for the tests of the searcher


@pytest.fixture(scope="session")
def demo() -> ModelPackage:
    """The demo's package with a search of ten iterations; its own has none."""
    return load_package(DEMO_MODEL).with_iterations(10)


@pytest.fixture(scope="session")
def models(demo: ModelPackage) -> Mapping[str, Mapping[str, bytes]]:
    """Graphs of the demo's package, and of untrained 256 and 1024 px models with few feature maps."""
    pytest.importorskip("torch", reason="PYTORCH IS MISSING: no engines of 256 and 1024 px models were built")
    from export.graphs import export_graphs
    from tests.packages import networks

    large = {f"{size} px": export_graphs(*networks(size, 3, 8, size, 8), 0.1, 0.1) for size in (256, 1024)}
    return {"demo": demo.graphs, **large}


@pytest.fixture(scope="session")
def rtx() -> Any:
    """The module tensorrt_rtx."""
    try:
        return importlib.import_module("tensorrt_rtx")
    except ImportError as error:
        pytest.skip(f"TENSORRT-RTX IS MISSING: no engine was really built; pip install tensorrt-rtx ({error})")
