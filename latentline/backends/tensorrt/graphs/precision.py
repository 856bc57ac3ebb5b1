"""The fp16 variant of a prepared graph: layers in half, everything between them in float32.

Layers are convolutions and dense layers; their inputs, weights and outputs are half. Everything between them (pixel
norm, masks, sums, losses) is float32, with a Cast at each border. A value that a layer reads is *stored* in half only:
other nodes read it back through a Cast of their own. So no float32 copy of an activation is kept for the backward pass,
and forward and backward pass use the same numbers.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from latentline.errors import EngineError

# Inputs and outputs in the graph's precision; all others (z, logit, loss, grad_z) are float32 in every variant.
HALF_PORTS = frozenset({"image", "features", "x", "fx"})
_LAYERS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
# Between two half values these run in half: the same numbers as in float32 between two Casts, without the Casts.
_MOVES = frozenset({"Reshape", "Gather"})  # their output is stored like their input
_EXACT_IN_HALF = _MOVES | {"LeakyRelu"}


def to_half(model: ir.Model, name: str) -> None:
    """Turn a float32 model without constant sub-graphs into fp16, in place. Raises EngineError on overflow."""
    _Variant(model.graph, name).make()


class _Variant:
    """One graph being turned into fp16. `_stored` holds the values that exist in half only."""

    def __init__(self, graph: ir.Graph, name: str) -> None:
        self._graph, self._name = graph, name
        self._stored = _stored_in_half(graph)
        self._half_nodes = {node for node in graph if _is_layer(node) or self._stays_half(node)}
        self._halves: dict[ir.Value, ir.Value] = {}

    def make(self) -> None:
        nodes = list(self._graph)
        for port in self._graph.inputs:
            if port in self._stored and port.name in HALF_PORTS:
                port.dtype = ir.DataType.FLOAT16
        for node in self._half_nodes:
            node.outputs[0].dtype = ir.DataType.FLOAT16
        for node in nodes:
            for value in dict.fromkeys(value for value in node.inputs if value is not None):
                if node in self._half_nodes:
                    _replace_input(node, value, self._half(value))
                elif value in self._stored:
                    _replace_input(node, value, self._read_back(value, node))
        for index, port in enumerate(self._graph.outputs):
            self._finish_output(index, port)
        self._drop_unused_weights()

    def _stays_half(self, node: ir.Node) -> bool:
        return node.op_type in _EXACT_IN_HALF and node.inputs[0] in self._stored and node.outputs[0] in self._stored

    def _half(self, value: ir.Value) -> ir.Value:
        """`value` in half: itself, a half copy of a weight, or the Cast that stores it."""
        if value.dtype != ir.DataType.FLOAT:
            return value
        if value not in self._halves:
            self._halves[value] = self._half_weight(value) if value.is_initializer() else self._stored_by_cast(value)
        return self._halves[value]

    def _half_weight(self, value: ir.Value) -> ir.Value:
        assert value.const_value is not None
        with np.errstate(over="ignore"):
            weight = value.const_value.numpy().astype(np.float16)
        if not np.isfinite(weight).all():
            raise EngineError(f"{self._name}: the weight '{value.name}' is too large for fp16; use --precision fp32")
        half = ir.Value(
            name=f"{value.name}_half",
            shape=value.shape,
            type=ir.TensorType(ir.DataType.FLOAT16),
            const_value=ir.tensor(weight),
        )
        self._graph.register_initializer(half)
        return half

    def _stored_by_cast(self, value: ir.Value) -> ir.Value:
        cast = _cast(value, ir.DataType.FLOAT16, f"{value.name}_half")
        producer = value.producer()
        if producer is None:
            self._graph.insert_before(self._graph[0], cast)
        else:
            self._graph.insert_after(producer, cast)
        return cast.outputs[0]

    def _read_back(self, value: ir.Value, reader: ir.Node) -> ir.Value:
        """`value` in float32 for one reader, from its half."""
        cast = _cast(self._half(value), ir.DataType.FLOAT, f"{value.name}_for_{reader.outputs[0].name}")
        self._graph.insert_before(reader, cast)
        return cast.outputs[0]

    def _finish_output(self, index: int, port: ir.Value) -> None:
        """Give the output its contract's type under its contract's name."""
        wanted = ir.DataType.FLOAT16 if port.name in HALF_PORTS else ir.DataType.FLOAT
        result = self._half(port) if wanted == ir.DataType.FLOAT16 else port
        if result.dtype != wanted:
            cast = _cast(port, wanted, f"{port.name}_float")
            self._graph.append(cast)
            result = cast.outputs[0]
        if result is not port:
            port.name, result.name = f"{port.name}_inside", port.name
            self._graph.outputs[index] = result

    def _drop_unused_weights(self) -> None:
        for name, value in list(self._graph.initializers.items()):
            if not value.uses():
                del self._graph.initializers[name]


def _stored_in_half(graph: ir.Graph) -> set[ir.Value]:
    stored = {port for port in (*graph.inputs, *graph.outputs) if port.name in HALF_PORTS}
    for node in graph:
        if _is_layer(node):
            stored.update(value for value in node.inputs if value is not None and not value.is_initializer())
            stored.update(node.outputs)
        elif node.op_type in _MOVES and node.inputs[0] in stored:
            stored.update(node.outputs)
    return stored


def _is_layer(node: ir.Node) -> bool:
    """A convolution or dense layer that is worth half precision.

    A dense layer from or to one number is not: it gives the discriminator's logit. Rounding it would go straight into
    the score, and float32 costs nothing there.
    """
    if node.op_type not in _LAYERS:
        return False
    weight = node.inputs[1]
    assert weight is not None and weight.shape is not None
    return node.op_type in ("Conv", "ConvTranspose") or 1 not in weight.shape


def _replace_input(node: ir.Node, old: ir.Value, new: ir.Value) -> None:
    for index, value in enumerate(node.inputs):
        if value is old:
            node.replace_input_with(index, new)


def _cast(value: ir.Value, to: ir.DataType, name: str) -> ir.Node:
    node = ir.node("Cast", [value], attributes={"to": to}, name=name)
    node.outputs[0].name, node.outputs[0].shape, node.outputs[0].dtype = name, value.shape, to
    return node
