"""Emulate an fp16 graph on a CPU: a float32 graph that rounds to half wherever a GPU would store half.

ONNX Runtime has no half kernels on most CPUs. It puts Casts around each node and removes the pairs that meet, and the
rounding with them: it runs an fp16 graph in plain float32, which would pass any check. It keeps the Casts that a
float32 graph contains.
"""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir

_FLOAT, _HALF = ir.DataType.FLOAT, ir.DataType.FLOAT16


def emulate_rounding(graph: bytes) -> bytes:
    """The float32 emulation of an fp16 graph from `prepare_graph`: same names and shapes, all ports float32.

    It sums products in float32, as TensorRT's tensor-core kernels do by default, and does not emulate a kernel that
    sums in half. A float32 graph stays as it is.
    """
    model = ir.from_proto(onnx.load_from_string(graph))
    inside = model.graph
    for value in list(inside.initializers.values()):
        if value.dtype == _HALF:
            assert value.const_value is not None
            value.const_value = ir.tensor(value.const_value.numpy().astype(np.float32))
            value.dtype = _FLOAT
    nodes = list(inside)
    for port in inside.inputs:
        if port.dtype == _HALF:
            port.dtype = _FLOAT
            _round(inside, port, None)
    for node in nodes:
        (output,) = node.outputs
        if node.op_type == "Cast" and output.dtype == _FLOAT:  # from half: its input is rounded already
            assert node.inputs[0] is not None
            _bypass(inside, output, node.inputs[0], node)
        elif node.op_type == "Cast":
            _widen(inside, output, node)
        elif output.dtype == _HALF:
            output.dtype = _FLOAT
            _round(inside, output, node)
    emulated: bytes = ir.to_proto(model).SerializeToString(deterministic=True)
    return emulated


def _round(graph: ir.Graph, value: ir.Value, producer: ir.Node | None) -> None:
    """Let all readers of `value` read it rounded to half."""
    down = ir.node("Cast", [value], attributes={"to": _HALF}, name=f"{value.name}_down")
    down.outputs[0].name, down.outputs[0].dtype, down.outputs[0].shape = f"{value.name}_down", _HALF, value.shape
    if producer is None:
        graph.insert_before(graph[0], down)
    else:
        graph.insert_after(producer, down)
    _widen(graph, down.outputs[0], down, of=value)


def _widen(graph: ir.Graph, half: ir.Value, producer: ir.Node, of: ir.Value | None = None) -> None:
    """Let all readers of `half`, or of `of`, read it in float32."""
    up = ir.node("Cast", [half], attributes={"to": _FLOAT}, name=f"{half.name}_up")
    up.outputs[0].name, up.outputs[0].dtype, up.outputs[0].shape = f"{half.name}_up", _FLOAT, half.shape
    graph.insert_after(producer, up)
    _redirect(graph, of or half, up.outputs[0], keep={producer, up})


def _bypass(graph: ir.Graph, old: ir.Value, new: ir.Value, node: ir.Node) -> None:
    """Remove `node`, whose output `old` equals `new`."""
    if old.is_graph_output():
        return  # a Cast of float32 to float32 is harmless
    _redirect(graph, old, new, keep=set())
    graph.remove(node)


def _redirect(graph: ir.Graph, old: ir.Value, new: ir.Value, keep: set[ir.Node]) -> None:
    for reader, index in list(old.uses()):
        if reader not in keep:
            reader.replace_input_with(index, new)
    for index, port in enumerate(graph.outputs):
        if port is old:
            name = old.name
            old.name, new.name = f"{name}_exact", name
            graph.outputs[index] = new
