"""Prepare a package's ONNX graph for TensorRT.

The package stores each weight once, and nodes derive other layouts from it. Preparing evaluates those nodes and writes
the precision into the graph, because TensorRT's strongly typed networks take it from there alone.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import onnx
import onnx_ir as ir
import onnxscript.optimizer

from latentline.backends.settings import Precision
from latentline.backends.tensorrt.graphs.precision import to_half
from latentline.errors import EngineError
from latentline.package.model_package import FIRST_LOOK

REVISION = 1  # part of every engine's fingerprint: add one whenever the same package gives another graph


def prepare_graph(content: bytes, name: str, precision: Precision) -> bytes:
    """The float32 ONNX graph `content` in `precision`, without constant nodes, all shapes known except the batch.

    first_look.onnx is for frames of any size: there only the number of channels is known.
    Raises EngineError, naming the graph, when it cannot be read or a shape depends on more than that.
    """
    try:
        model = ir.from_proto(onnx.load_from_string(content))
        _check_float32(model.graph, name)
        _fold(model)
        if precision == "fp16":
            to_half(model, name)
        prepared = onnx.shape_inference.infer_shapes(ir.to_proto(model), check_type=True, strict_mode=True)
        onnx.checker.check_model(prepared, full_check=True)
    except EngineError:
        raise
    except Exception as error:  # the libraries raise anything for a broken file
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise EngineError(f"{name}: cannot be prepared for TensorRT ({reason}); export the package again") from None
    if name != FIRST_LOOK:
        _check_shapes(prepared, name)
    result: bytes = prepared.SerializeToString(deterministic=True)
    return result


def _check_float32(graph: ir.Graph, name: str) -> None:
    """Refuse other types: TensorRT's parser would convert float64 silently."""
    for port in (*graph.inputs, *graph.outputs, *graph.initializers.values()):
        if port.dtype not in (ir.DataType.FLOAT, ir.DataType.INT64):
            raise EngineError(
                f"{name}: '{port.name}' is {port.dtype and port.dtype.name}, and a package's graphs are FLOAT; "
                "export the package again"
            )


def _fold(model: ir.Model) -> None:
    """Evaluate each node that depends on constants alone, of any size."""
    everything = 1 << 62  # elements
    with _quiet():
        onnxscript.optimizer.optimize_ir(
            model, should_fold=lambda node: True, input_size_limit=everything, output_size_limit=everything
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the optimiser's hundreds of lines about nodes out of the log."""
    loggers = [logging.getLogger(name) for name in ("onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _check_shapes(model: onnx.ModelProto, name: str) -> None:
    """Raise EngineError for a value whose shape is not fixed after the first dimension."""
    graph = model.graph
    known = {value.name: value.type.tensor_type.shape for value in [*graph.input, *graph.value_info, *graph.output]}
    names = [*(port.name for port in graph.input), *(output for node in graph.node for output in node.output)]
    for value in names:
        if value not in known or not all(dimension.dim_value > 0 for dimension in known[value].dim[1:]):
            raise EngineError(f"{name}: the shape of '{value}' is not fixed by the batch; export the package again")
