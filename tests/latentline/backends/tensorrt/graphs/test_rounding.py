"""The emulation of an fp16 graph rounds on a CPU where a GPU rounds."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from latentline.backends.tensorrt.graphs.prepare import prepare_graph
from latentline.backends.tensorrt.graphs.rounding import emulate_rounding
from latentline.package.model_package import DISCRIMINATOR, GENERATOR, SEARCH_STEP, ModelPackage

FLOAT = TensorProto.FLOAT
VALUES = np.array([1.0001, 1.0003, -2.0007, 3e-6, 2.9e-8, 1000.4], np.float32)  # none of them is exact in half


def half(array: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):  # beyond 65504 half is infinite, also on a GPU
        return array.astype(np.float16).astype(np.float32)


def pointwise(weights: list[float], nodes: list[onnx.NodeProto]) -> bytes:
    """A float32 graph image -> features of 1x1 convolutions with those weights."""
    initializers = [
        numpy_helper.from_array(np.full((1, 1, 1, 1), w, np.float32), f"w{i}") for i, w in enumerate(weights)
    ]
    ports = [helper.make_tensor_value_info(n, FLOAT, ["batch", 1, 2, 3]) for n in ("image", "features")]
    graph = helper.make_graph(nodes, "graph", ports[:1], ports[1:], initializers)
    return bytes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10).SerializeToString()
    )


def run(content: bytes, optimise: bool) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    if not optimise:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"image": VALUES.reshape(1, 1, 2, 3)})[0]).ravel()


@pytest.mark.parametrize("optimise", [True, False])
def test_every_value_between_layers_is_rounded(optimise: bool) -> None:
    """Convolution, leaky ReLU and convolution give bit for bit what NumPy gives when it rounds in between."""
    slope = np.float32(0.2)
    content = pointwise(
        [1.0333, 0.7001],
        [
            helper.make_node("Conv", ["image", "w0"], ["a"]),
            helper.make_node("LeakyRelu", ["a"], ["b"], alpha=0.2),
            helper.make_node("Conv", ["b", "w1"], ["features"]),
        ],
    )
    first, second = (half(np.float32(w)) for w in (1.0333, 0.7001))
    a = half(half(VALUES) * first)
    expected = half(half(np.where(a < 0, a * slope, a)) * second)
    emulation = emulate_rounding(prepare_graph(content, DISCRIMINATOR, "fp16"))
    assert np.array_equal(run(emulation, optimise), expected)
    assert not np.array_equal(expected, VALUES * np.float32(1.0333) * np.float32(0.7001))  # rounding makes a difference


@pytest.mark.parametrize("optimise", [True, False])
def test_islands_are_not_rounded_inside(optimise: bool) -> None:
    """Between two layers, sums and products are float32; only what is stored is rounded."""
    content = pointwise(
        [1.0333, 0.7001],
        [
            helper.make_node("Conv", ["image", "w0"], ["a"]),
            helper.make_node("Mul", ["a", "a"], ["b"]),
            helper.make_node("Sub", ["b", "a"], ["c"]),
            helper.make_node("Conv", ["c", "w1"], ["features"]),
        ],
    )
    a = half(half(VALUES) * half(np.float32(1.0333)))
    expected = half(half(a * a - a) * half(np.float32(0.7001)))
    assert np.array_equal(run(emulate_rounding(prepare_graph(content, DISCRIMINATOR, "fp16")), optimise), expected)


@pytest.mark.parametrize("name", [GENERATOR, DISCRIMINATOR, SEARCH_STEP])
def test_the_emulation_has_the_ports_of_the_graph_in_float32(demo: ModelPackage, name: str) -> None:
    """Names and shapes are those of the graph, types are float32, and the model is valid."""
    graph = prepare_graph(demo.graphs[name], name, "fp16")
    emulation = onnx.load_from_string(emulate_rounding(graph))
    onnx.checker.check_model(emulation, full_check=True)
    original = onnx.load_from_string(graph).graph
    for found, true in zip(
        [*emulation.graph.input, *emulation.graph.output], [*original.input, *original.output], strict=True
    ):
        assert found.name == true.name and found.type.tensor_type.shape == true.type.tensor_type.shape
        assert found.type.tensor_type.elem_type == FLOAT


def test_a_float32_graph_is_not_changed(demo: ModelPackage) -> None:
    """A graph without half values stays as it is."""
    graph = prepare_graph(demo.graphs[GENERATOR], GENERATOR, "fp32")
    assert onnx.load_from_string(emulate_rounding(graph)).graph.node == onnx.load_from_string(graph).graph.node
