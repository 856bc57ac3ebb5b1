"""Operations and bytes of an ONNX graph, counted from its shapes.

A layer is one convolution or matrix product, with everything that is computed from its output before the next one
(activation, norm, residual, reduction) fused into it. Nodes that depend on constants alone cost nothing, because a
runtime folds them when it loads the graph. Operations are nominal: products with padding zeros count, and a Winograd
convolution needs fewer.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from math import prod
from typing import Literal

import onnx
from onnx import TensorProto

from latentline.errors import PackageError

Precision = Literal["fp32", "fp16"]

PRODUCTS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
VIEWS = frozenset({"Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity"})  # the same bytes under another name
MOVES = frozenset({"Transpose", "Slice", "Concat", "Expand", "Gather", "Cast", "Shape"})  # bytes, but no arithmetic
BYTES = {TensorProto.FLOAT: 4, TensorProto.FLOAT16: 2, TensorProto.BOOL: 1, TensorProto.INT64: 8}


@dataclass(frozen=True)
class Layer:
    """One convolution or matrix product, with the nodes fused into it.

    multiply_adds  of the product, nominal; one multiply-add is two floating-point operations
    elementwise    operations of the fused nodes: one for each element of an output, or of a reduction's input
    weight_bytes   constants that the layer reads
    bytes          memory traffic when each input is read once and each output is written once, weights included
    """

    name: str
    kind: str
    multiply_adds: int
    elementwise: int
    weight_bytes: int
    bytes: int


@dataclass(frozen=True)
class GraphCost:
    """Cost of one execution of a graph.

    weight_bytes  all constants, each once
    port_bytes    inputs and outputs of the graph
    """

    layers: tuple[Layer, ...]
    weight_bytes: int
    port_bytes: int

    @property
    def multiply_adds(self) -> int:
        """Of all layers."""
        return sum(layer.multiply_adds for layer in self.layers)

    @property
    def elementwise(self) -> int:
        """Arithmetic operations outside the products."""
        return sum(layer.elementwise for layer in self.layers)

    @property
    def bytes_fused(self) -> int:
        """Memory traffic when every layer reads its inputs and weights once and writes its outputs once."""
        return sum(layer.bytes for layer in self.layers)

    @property
    def bytes_minimum(self) -> int:
        """Weights, inputs and outputs of the graph once; everything else stays on the chip."""
        return self.weight_bytes + self.port_bytes


def graph_cost(content: bytes, name: str, batch: int, precision: Precision) -> GraphCost:
    """Cost of one execution of a float32 graph with its first dimension set to `batch`.

    fp16: the inputs and outputs of products are stored as half, the rest (latents, losses, norm statistics) as float32.
    Raises PackageError when a shape cannot be inferred or the graph has no product.
    """
    graph = _Graph(content, name, batch)
    half = graph.half_values() if precision == "fp16" else set()
    layers = graph.layers(half)
    ports = {graph.source(v.name) for v in (*graph.proto.input, *graph.proto.output)}
    return GraphCost(
        layers,
        sum(graph.size(w, half) for w in graph.weights(graph.live)),
        sum(graph.size(value, half) for value in ports),
    )


class _Graph:
    """Shapes, constants and the layer of each node."""

    def __init__(self, content: bytes, name: str, batch: int) -> None:
        model = onnx.load_from_string(content)
        for port in (*model.graph.input, *model.graph.output):
            port.type.tensor_type.shape.dim[0].dim_value = batch
        self.name = name
        self.proto = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True).graph
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._types: dict[str, int] = {}
        for value in (*self.proto.value_info, *self.proto.input, *self.proto.output):
            tensor = value.type.tensor_type
            if all(d.HasField("dim_value") for d in tensor.shape.dim):
                self._shapes[value.name] = tuple(d.dim_value for d in tensor.shape.dim)
            self._types[value.name] = tensor.elem_type
        for weight in self.proto.initializer:
            self._shapes[weight.name] = tuple(weight.dims)
            self._types[weight.name] = weight.data_type
        self._constants = {i.name for i in self.proto.initializer} | {""}  # "" is an input left out
        self.live: list[onnx.NodeProto] = []
        for node in self.proto.node:
            if set(node.input) <= self._constants:
                self._constants |= set(node.output)
            else:
                self.live.append(node)
        if not any(node.op_type in PRODUCTS for node in self.live):
            raise PackageError(f"{name}: has no convolution or matrix product to count; export the package again")
        self._views = {node.output[0]: node.input[0] for node in self.live if node.op_type in VIEWS}

    def source(self, value: str) -> str:
        """The value whose bytes `value` is a view of."""
        while value in self._views:
            value = self._views[value]
        return value

    def size(self, value: str, half: set[str]) -> int:
        """Bytes of a value."""
        width = BYTES[self._types[value]]
        return prod(self._shape(value)) * (2 if value in half and width == 4 else width)

    def weights(self, nodes: list[onnx.NodeProto]) -> set[str]:
        """Float constants that `nodes` read. Integers are axes and shapes, not data."""
        read = {name for node in nodes for name in node.input if name}
        return {name for name in read & self._constants if self._types[name] == TensorProto.FLOAT}

    def half_values(self) -> set[str]:
        """Float values stored as half: inputs and outputs of products, and images and features at the ports."""
        products = [node for node in self.live if node.op_type in PRODUCTS]
        touched = {self.source(name) for node in products for name in (*node.input, *node.output) if name}
        ports = {self.source(port.name) for port in (*self.proto.input, *self.proto.output)}
        maps = {value for value in ports if len(self._shape(value)) == 4}
        return (touched - ports) | maps

    def layers(self, half: set[str]) -> tuple[Layer, ...]:
        """The layers in execution order. A node belongs to the latest of the layers that compute its inputs."""
        home: dict[str, int] = {}  # value -> index of the layer that makes it
        members: dict[int, list[onnx.NodeProto]] = defaultdict(list)
        products: list[onnx.NodeProto] = []
        for node in self.live:
            if node.op_type in PRODUCTS:
                index = len(products)
                products.append(node)
            else:
                index = max((home[name] for name in node.input if name in home), default=0)
            members[index].append(node)
            home |= dict.fromkeys(node.output, index)
        leaving = {self.source(port.name) for port in self.proto.output}
        readers: dict[str, set[int]] = defaultdict(set)
        for index, nodes in members.items():
            for name in (name for node in nodes if node.op_type not in VIEWS for name in node.input):
                if name not in self._constants:
                    readers[self.source(name)].add(index)
        layers = []
        for index, product in enumerate(products):
            read = {v for v, by in readers.items() if index in by and home.get(v) != index}
            written = {v for v, at in home.items() if at == index and v not in self._views}
            written = {v for v in written if v in leaving or readers[v] - {index}}
            weights = sum(self.size(w, half) for w in self.weights(members[index]))
            layers.append(
                Layer(
                    product.name or product.output[0],
                    product.op_type,
                    self._multiply_adds(product),
                    sum(self._elementwise(node) for node in members[index]),
                    weights,
                    weights + sum(self.size(v, half) for v in read | written),
                )
            )
        return tuple(layers)

    def _shape(self, value: str) -> tuple[int, ...]:
        try:
            return self._shapes[value]
        except KeyError:
            raise PackageError(f"{self.name}: the shape of '{value}' does not follow from its inputs") from None

    def _multiply_adds(self, node: onnx.NodeProto) -> int:
        first, second, output = (self._shape(name) for name in (*node.input[:2], node.output[0]))
        if node.op_type == "Conv":
            return prod(output) * prod(second[1:])
        if node.op_type == "ConvTranspose":
            return prod(first) * prod(second[1:])
        turned = any(a.name == "transA" and a.i for a in node.attribute)
        return prod(output) * (first[0] if turned else first[-1])

    def _elementwise(self, node: onnx.NodeProto) -> int:
        if node.op_type in PRODUCTS | VIEWS | MOVES:
            return 0
        return prod(self._shape(node.input[0] if node.op_type.startswith("Reduce") else node.output[0]))
