"""The stand-in for TensorRT runs an engine's graph on raw memory, with the types and rounding of its precision."""

import ctypes
from typing import Any

import numpy as np
import pytest

from latentline.backends.settings import Precision
from latentline.backends.tensorrt.engines.builder import build_engine
from latentline.backends.tensorrt.fp16.rounded_searcher import RoundedSearcher
from latentline.backends.tensorrt.graphs.prepare import prepare_graph
from latentline.package.model_package import GENERATOR, ModelPackage
from tests.gpu.standin.engine import Context
from tests.gpu.standin.interface import ILogger
from tests.gpu.standin.module import StandIn


def context(package: ModelPackage, precision: Precision, module: StandIn) -> Context:
    """An execution context of the generator's engine, for up to three rows."""
    graph = prepare_graph(package.graphs[GENERATOR], GENERATOR, precision)
    plan = build_engine(module, graph, GENERATOR, precision, 3).plan
    engine = module.Runtime(module.Logger()).deserialize_cuda_engine(plan)
    assert engine is not None
    return engine.create_execution_context()


def address(array: np.ndarray) -> int:
    return int(array.ctypes.data)


@pytest.mark.parametrize(("precision", "kind"), [("fp32", np.float32), ("fp16", np.float16)])
def test_an_engine_computes_on_the_bound_memory(demo: ModelPackage, precision: Precision, kind: Any) -> None:
    """For two of three rows, the engine reads and writes the bound addresses and computes in its precision."""
    z = np.random.default_rng(0).standard_normal((2, 128)).astype(np.float32)
    image = np.full((2, 1, 64, 64), np.nan, kind)
    run = context(demo, precision, StandIn())
    assert run.set_input_shape("z", (2, 128))
    assert run.set_tensor_address("z", address(z)) and run.set_tensor_address("image", address(image))
    frozen = run._frozen()
    z += 1  # addresses are frozen, values are not
    frozen(None)
    searcher = RoundedSearcher(demo, precision)
    expected = np.concatenate([searcher.generate(z[i : i + 1]) for i in range(2)])
    assert np.abs(image - expected).max() < (2e-3 if precision == "fp16" else 1e-5)
    assert np.array_equal(expected, expected.astype(kind))


def test_it_refuses_what_tensorrt_refuses(demo: ModelPackage) -> None:
    """More rows than the profile allows, another shape, an unknown tensor and an unbound tensor are refused."""
    run = context(demo, "fp32", StandIn())
    assert not run.set_input_shape("z", (4, 128)) and not run.set_input_shape("z", (1, 64))
    assert run.set_input_shape("z", (3, 128))
    assert not run.set_tensor_address("nothing", 0)
    assert not run.execute_async_v3(0)
    assert StandIn().Runtime(ILogger()).deserialize_cuda_engine(b"something else") is None


def test_it_misbehaves_on_request(demo: ModelPackage) -> None:
    """Each fault that a test plants takes effect."""
    module = StandIn()
    run = context(demo, "fp32", module)
    memory = ctypes.create_string_buffer(1 << 20)
    assert run.set_input_shape("z", (1, 128)) and run.set_tensor_address("z", ctypes.addressof(memory))
    module.refused_address = "image"
    assert not run.set_tensor_address("image", ctypes.addressof(memory))
    module.refused_address = None
    assert run.set_tensor_address("image", ctypes.addressof(memory))
    module.fails_to_execute = True
    assert not run.execute_async_v3(0)
    module.fails_to_load = True
    assert module.Runtime(ILogger()).deserialize_cuda_engine(b"stand-in plan\n") is None
