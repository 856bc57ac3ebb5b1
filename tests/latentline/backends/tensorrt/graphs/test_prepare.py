"""Prepared graphs compute what the package's graphs compute, and have nothing constant left to compute."""

import logging

import numpy as np
import onnx
import onnxruntime
import pytest

from latentline.backends.settings import Precision
from latentline.backends.tensorrt.graphs.prepare import prepare_graph
from latentline.errors import EngineError
from latentline.package.model_package import DISCRIMINATOR, ENCODER, GENERATOR, SEARCH_STEP, ModelPackage

NAMES = [GENERATOR, DISCRIMINATOR, ENCODER, SEARCH_STEP]


def inputs(content: bytes, rows: int, seed: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    ports = onnx.load_from_string(content).graph.input
    shapes = {port.name: [d.dim_value for d in port.type.tensor_type.shape.dim][1:] for port in ports}
    return {name: random.standard_normal((rows, *shape)).astype(np.float32) for name, shape in shapes.items()}


def run(content: bytes, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    return list(onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"]).run(None, feeds))


@pytest.mark.parametrize("name", NAMES)
def test_folded_graph_equals_the_original(demo: ModelPackage, name: str) -> None:
    """For different inputs and batches, the outputs are those of the package's graph."""
    original = demo.graphs[name]
    prepared = prepare_graph(original, name, "fp32")
    for rows, seed in ((1, 1), (3, 2)):
        feeds = inputs(original, rows, seed)
        for found, true in zip(run(prepared, feeds), run(original, feeds), strict=True):
            error = np.linalg.norm((found - true).reshape(rows, -1), axis=1)
            # sums in another order sometimes move an activation across a kink
            assert (error < 3e-3 * np.linalg.norm(true.reshape(rows, -1), axis=1)).all()


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("name", NAMES)
def test_nothing_constant_is_left_to_compute(demo: ModelPackage, name: str, precision: Precision) -> None:
    """Every node depends on an input, every weight is used, every shape but the batch is known."""
    graph = onnx.load_from_string(prepare_graph(demo.graphs[name], name, precision)).graph
    weights = {i.name for i in graph.initializer}
    assert weights == {i for node in graph.node for i in node.input if i in weights}
    assert all(set(node.input) - weights - {""} for node in graph.node)
    known = {v.name: v.type.tensor_type.shape.dim for v in [*graph.value_info, *graph.output]}
    for node in graph.node:
        assert all(dim.dim_value > 0 for dim in known[node.output[0]][1:])


def test_preparing_is_deterministic_and_silent(demo: ModelPackage, caplog: pytest.LogCaptureFixture) -> None:
    """The same package gives the same bytes, and the libraries write nothing to the log."""
    with caplog.at_level(logging.INFO):
        first, second = (prepare_graph(demo.graphs[GENERATOR], GENERATOR, "fp16") for _ in range(2))
    assert first == second and not caplog.records


def test_a_file_that_is_no_graph_is_refused(demo: ModelPackage) -> None:
    """Garbage and a truncated graph are refused in one sentence that names the file."""
    for content in (b"no graph", demo.graphs[GENERATOR][:5000]):
        with pytest.raises(EngineError, match=r"^generator\.onnx: .*export the package again$"):
            prepare_graph(content, GENERATOR, "fp32")
