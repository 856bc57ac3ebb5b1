"""Models to build engines for, and the real TensorRT-RTX, which builds without a GPU."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import pytest

from latentline.package.model_package import ModelPackage, load_package
from tests.fake_cuda.conftest import fake_driver, loaded_fake_driver
from tests.paths import DEMO_MODEL
from tests.sharing import made_once

__all__ = ["fake_driver", "loaded_fake_driver"]  # the emulated driver, for the tests of the searcher


@pytest.fixture(scope="session")
def demo() -> ModelPackage:
    """The demo's package with a search of ten iterations; its own has none."""
    return load_package(DEMO_MODEL).with_iterations(10)


@pytest.fixture(scope="session")
def graphs_of(demo: ModelPackage) -> Callable[[str], Mapping[str, bytes]]:
    """Graphs of a model: of the package "demo", or of an untrained one with few feature maps, such as "1024 px"."""
    pytest.importorskip("torch", reason="PYTORCH IS MISSING: no engines of a 1024 px model were built")
    from export.first_look import export_first_look
    from export.graphs import export_graphs
    from latentline.package.model_package import FIRST_LOOK
    from tests.packages import networks

    def exported(size: int) -> Mapping[str, bytes]:
        generator, discriminator = networks(size, 3, 8, size, 8)
        looks = {FIRST_LOOK: export_first_look(discriminator)}
        return {**export_graphs(generator, discriminator, 0.1, 0.1), **looks}

    @cache
    def graphs(model: str) -> Mapping[str, bytes]:
        if model == "demo":
            return demo.graphs
        size = int(model.removesuffix(" px"))
        return made_once(f"graphs-{size}", lambda: exported(size))

    return graphs


@pytest.fixture(scope="session")
def rtx() -> Any:
    """The module tensorrt_rtx."""
    try:
        return importlib.import_module("tensorrt_rtx")
    except ImportError as error:
        pytest.skip(f"TENSORRT-RTX IS MISSING: no engine was really built; pip install tensorrt-rtx ({error})")
