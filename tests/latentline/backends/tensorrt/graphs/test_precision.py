"""The fp16 variant: layers in half, islands in float32, activations stored in half only."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from latentline.backends.tensorrt.graphs.prepare import prepare_graph
from latentline.errors import EngineError
from latentline.package.model_package import DISCRIMINATOR, ENCODER, GENERATOR, SEARCH_STEP, ModelPackage

FLOAT, HALF = TensorProto.FLOAT, TensorProto.FLOAT16
ISLANDS = {"ReduceMean", "ReduceSum", "Sqrt", "Reciprocal", "Sigmoid", "Mul", "Add", "Sub", "Abs", "Sign", "Greater"}


def graph_of(package: ModelPackage, name: str) -> onnx.GraphProto:
    return onnx.load_from_string(prepare_graph(package.graphs[name], name, "fp16")).graph


def types(graph: onnx.GraphProto) -> dict[str, int]:
    values = [*graph.input, *graph.value_info, *graph.output]
    found = {value.name: value.type.tensor_type.elem_type for value in values}
    return {**found, **{i.name: i.data_type for i in graph.initializer}}


@pytest.mark.parametrize(
    ("name", "ports"),
    [
        (GENERATOR, {"z": FLOAT, "image": HALF}),
        (DISCRIMINATOR, {"image": HALF, "logit": FLOAT, "features": HALF, "patch_logits": FLOAT}),
        (ENCODER, {"image": HALF, "z": FLOAT}),
        (SEARCH_STEP, {"z": FLOAT, "x": HALF, "fx": HALF, "loss": FLOAT, "grad_z": FLOAT}),
    ],
)
def test_ports_have_the_types_of_the_contract(demo: ModelPackage, name: str, ports: dict[str, int]) -> None:
    """Images and features are half; latents, logits, losses and gradients are float32."""
    graph = graph_of(demo, name)
    assert {port.name: port.type.tensor_type.elem_type for port in [*graph.input, *graph.output]} == ports


@pytest.mark.parametrize("name", [GENERATOR, DISCRIMINATOR, ENCODER, SEARCH_STEP])
def test_layers_are_half_and_islands_are_not(demo: ModelPackage, name: str) -> None:
    """Convolutions and mirrored images are half; reductions, roots, masks, losses and the verdict are float32."""
    graph = graph_of(demo, name)
    kind = types(graph)
    for node in graph.node:
        operands = {kind[value] for value in [*node.input, *node.output] if value}
        if node.op_type in ("Conv", "ConvTranspose"):
            assert operands == {HALF}
        if node.op_type == "Gather" and "image" in node.input:
            assert kind[node.output[0]] == HALF
        if node.op_type in ISLANDS:
            assert HALF not in operands
    dense = [node for node in graph.node if node.op_type in ("Gemm", "MatMul")]
    shapes = {i.name: i.dims for i in graph.initializer}
    assert all((kind[node.output[0]] == FLOAT) == (1 in shapes[node.input[1]]) for node in dense)


@pytest.mark.parametrize("name", [GENERATOR, DISCRIMINATOR, SEARCH_STEP])
def test_what_a_layer_reads_is_stored_in_half_only(demo: ModelPackage, name: str) -> None:
    """A float32 value that is cast to half has no other reader, and each cast back to float32 has one."""
    graph = graph_of(demo, name)
    kind = types(graph)
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for value in set(node.input):
            readers.setdefault(value, []).append(node)
    casts = [node for node in graph.node if node.op_type == "Cast"]
    assert casts
    for cast in casts:
        if kind[cast.output[0]] == HALF:
            assert readers[cast.input[0]] == [cast]
        else:
            assert len(readers[cast.output[0]]) == 1


def test_half_weights_are_the_float32_weights_rounded(demo: ModelPackage) -> None:
    """Each weight is its float32 value, rounded once, and no weight is stored in both precisions."""
    single = onnx.load_from_string(prepare_graph(demo.graphs[GENERATOR], GENERATOR, "fp32")).graph
    half = {i.name: numpy_helper.to_array(i) for i in graph_of(demo, GENERATOR).initializer}
    for weight in single.initializer:
        array = numpy_helper.to_array(weight)
        assert np.array_equal(half.get(f"{weight.name}_half", array), array.astype(np.float16)) or array.dtype != "f"
        assert (weight.name in half) != (f"{weight.name}_half" in half)


def test_a_weight_beyond_half_is_refused() -> None:
    """A weight of 1e6, infinite in half, is refused in a sentence that names graph and weight."""
    weight = numpy_helper.from_array(np.full((2, 1, 1, 1), 1e6, np.float32), "weight")
    graph = helper.make_graph(
        [helper.make_node("Conv", ["image", "weight"], ["features"])],
        "graph",
        [helper.make_tensor_value_info("image", FLOAT, ["batch", 1, 4, 4])],
        [helper.make_tensor_value_info("features", FLOAT, ["batch", 2, 4, 4])],
        [weight],
    )
    content = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10).SerializeToString()
    with pytest.raises(EngineError, match=r"^discriminator\.onnx: the weight 'weight' is too large for fp16"):
        prepare_graph(content, DISCRIMINATOR, "fp16")
