"""PyTorch in TensorRT's place computes what the package's graphs say."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from latentline.backends.tensorrt.graphs.prepare import prepare_graph
from latentline.package.model_package import TRUNK, ModelPackage
from tests.gpu.driver_checks.frames import demo
from tests.gpu.standin.torch_graph import TorchGraph
from tests.trunks import SIDE, tiny_graph

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def package() -> ModelPackage:
    return demo()


def in_onnx_runtime(content: bytes, inputs: dict[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    names = [port.name for port in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))


def in_torch(content: bytes, inputs: dict[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
    outputs = TorchGraph(content, CPU)({name: torch.from_numpy(array) for name, array in inputs.items()})
    return {name: tensor.numpy() for name, tensor in outputs.items()}


@pytest.mark.parametrize(
    "name", ["generator.onnx", "discriminator.onnx", "encoder.onnx", "search_step.onnx", "first_look.onnx"]
)
def test_a_graph_gives_what_onnx_runtime_gives(package: ModelPackage, name: str) -> None:
    """Every output of every graph of the demo's package, in float32, for two rows; frames of 96 x 96 px."""
    content = prepare_graph(package.graphs[name], name, "fp32")
    rng = np.random.default_rng(0)
    inputs: dict[str, npt.NDArray[Any]] = {
        port.name: rng.standard_normal((2, *(d.dim_value or 96 for d in port.type.tensor_type.shape.dim[1:]))).astype(
            np.float32
        )
        for port in onnx.load_from_string(content).graph.input
    }
    found, expected = in_torch(content, inputs), in_onnx_runtime(content, inputs)
    assert set(found) == set(expected)
    for output, array in expected.items():
        assert np.linalg.norm(found[output] - array) <= 1e-4 * np.linalg.norm(array), output


def test_a_trunk_gives_what_onnx_runtime_gives() -> None:
    """Its features, for two pictures."""
    content = prepare_graph(tiny_graph().graph, TRUNK, "fp32")
    image = np.random.default_rng(0).uniform(0, 255, (2, 3, SIDE, SIDE)).astype(np.float32)
    found, expected = (
        in_torch(content, {"image": image})["features"],
        in_onnx_runtime(content, {"image": image})["features"],
    )
    assert np.linalg.norm(found - expected) <= 1e-5 * np.linalg.norm(expected)


def one_node(node: onnx.NodeProto, constants: dict[str, npt.NDArray[Any]]) -> bytes:
    """A graph of one node that takes x and gives y."""
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in "xy")
    graph = helper.make_graph([node], "one", [x], [y], [numpy_helper.from_array(a, n) for n, a in constants.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    content: bytes = model.SerializeToString()
    return content


@pytest.mark.parametrize(
    ("node", "constants"),
    [
        (helper.make_node("ReduceMean", ["x", "c"], ["y"], keepdims=0), {"c": np.array([1, 3])}),
        (helper.make_node("ReduceSum", ["x"], ["y"]), {}),
        (helper.make_node("Reshape", ["x", "c"], ["y"]), {"c": np.array([0, -1, 4])}),
        (helper.make_node("Squeeze", ["x", "c"], ["y"]), {"c": np.array([1])}),
        (helper.make_node("Unsqueeze", ["x", "c"], ["y"]), {"c": np.array([0, 5])}),
        (helper.make_node("Gather", ["x", "c"], ["y"], axis=-1), {"c": np.array([[3, 0], [1, 1]])}),
        (helper.make_node("Transpose", ["x"], ["y"], perm=[0, 3, 1, 2]), {}),
        (helper.make_node("LeakyRelu", ["x"], ["y"]), {}),
        (helper.make_node("Concat", ["x", "x"], ["y"], axis=2), {}),
        (helper.make_node("Clip", ["x", "c", "d"], ["y"]), {"c": np.float32(-0.5), "d": np.float32(0.25)}),
        (
            helper.make_node("Conv", ["x", "c"], ["y"], kernel_shape=[1, 3], pads=[0, 1, 0, 1], strides=[1, 2]),
            {"c": np.arange(6, dtype=np.float32).reshape(2, 1, 1, 3)},
        ),
        (
            helper.make_node("Conv", ["x", "c"], ["y"], kernel_shape=[1, 3], pads=[0, 0, 1, 2], strides=[2, 1]),
            {"c": np.arange(6, dtype=np.float32).reshape(2, 1, 1, 3)},
        ),
        (helper.make_node("AveragePool", ["x"], ["y"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]), {}),
        (
            helper.make_node(
                "AveragePool", ["x"], ["y"], kernel_shape=[2, 2], pads=[1, 1, 1, 1], strides=[2, 2], count_include_pad=1
            ),
            {},
        ),
        (
            helper.make_node(
                "Resize", ["x", "", "c"], ["y"], mode="linear", coordinate_transformation_mode="half_pixel"
            ),
            {"c": np.array([1, 1, 2, 2], np.float32)},
        ),
    ],
    ids=lambda value: value.op_type if isinstance(value, onnx.NodeProto) else "",
)
def test_an_operator_is_onnx_s(node: onnx.NodeProto, constants: dict[str, Any]) -> None:
    """Axes, shapes and attributes mean what ONNX says they mean, its defaults included."""
    x = np.random.default_rng(1).standard_normal((2, 1, 3, 4)).astype(np.float32)
    content = one_node(node, {name: np.asarray(array) for name, array in constants.items()})
    found, expected = in_torch(content, {"x": x})["y"], in_onnx_runtime(content, {"x": x})["y"]
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("node", "words"),
    [
        (helper.make_node("Erf", ["x"], ["y"]), "Erf"),
        (helper.make_node("ConvTranspose", ["x", "c"], ["y"], kernel_shape=[1, 1], pads=[0, 1, 0, 0]), "uneven pads"),
        (helper.make_node("Resize", ["x", "", "c"], ["y"], mode="cubic"), "Resize"),
    ],
)
def test_what_a_prepared_graph_cannot_have_is_refused(node: onnx.NodeProto, words: str) -> None:
    """Another operator, or padding that PyTorch's convolutions do not have, is named, and not computed wrongly."""
    with pytest.raises(NotImplementedError, match=words):
        TorchGraph(one_node(node, {"c": np.ones((1, 1, 1, 1), np.float32)}), CPU)
