"""What each ONNX operator of a prepared graph is in PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy.typing as npt
import onnx
import torch
import torch.nn.functional as F
from torch import Tensor

Operation = Callable[..., Tensor]
Attributes = dict[str, Any]
Constants = Mapping[str, npt.NDArray[Any]]

TYPES = {
    onnx.TensorProto.FLOAT: torch.float32,
    onnx.TensorProto.FLOAT16: torch.float16,
    onnx.TensorProto.INT64: torch.int64,
    onnx.TensorProto.BOOL: torch.bool,
}
ELEMENTWISE: dict[str, Operation] = {
    "Abs": torch.abs,
    "Add": torch.add,
    "Clip": torch.clamp,
    "Div": torch.div,
    "Exp": torch.exp,
    "Greater": torch.gt,
    "Identity": torch.positive,
    "Less": torch.lt,
    "Log": torch.log,
    "MatMul": torch.matmul,
    "Max": torch.maximum,
    "Min": torch.minimum,
    "Mul": torch.mul,
    "Neg": torch.neg,
    "Pow": torch.pow,
    "Reciprocal": torch.reciprocal,
    "Relu": torch.relu,
    "Sigmoid": torch.sigmoid,
    "Sign": torch.sign,
    "Softplus": F.softplus,
    "Sqrt": torch.sqrt,
    "Sub": torch.sub,
    "Tanh": torch.tanh,
    "Where": torch.where,
}


def operation_of(node: onnx.NodeProto, constants: Constants) -> tuple[Operation, tuple[str, ...]]:
    """The operation of a node, and the names of the tensors that it takes.

    constants  the graph's initializers; shapes and axes among them become part of the operation
    Raises NotImplementedError for an operator, or a form of one, that prepared graphs do not have.
    """
    given: Attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    inputs = tuple(name for name in node.input if name)
    kind = node.op_type
    if kind in ELEMENTWISE:
        return ELEMENTWISE[kind], inputs
    if kind in ("ReduceMean", "ReduceSum", "Reshape", "Squeeze", "Unsqueeze"):
        second = constants[inputs[1]].tolist() if len(inputs) > 1 else given.get("axes")
        return _shaped(kind, second, given), inputs[:1]
    if kind == "Resize":
        return _resize(constants[inputs[-1]].tolist(), given), inputs[:1]
    return _with_attributes(kind, given), inputs


def _with_attributes(kind: str, given: Attributes) -> Operation:
    match kind:
        case "Conv" | "ConvTranspose":
            return _convolution(kind, given)
        case "Gemm":
            factors = given.get("alpha", 1.0), given.get("beta", 1.0)
            return partial(_gemm, *factors, bool(given.get("transA", 0)), bool(given.get("transB", 0)))
        case "AveragePool":
            return _average_pool(given)
        case "Gather":
            return partial(_gather, given.get("axis", 0))
        case "Concat":
            return partial(_concat, given["axis"])
        case "Cast":
            return partial(_cast, TYPES[given["to"]])
        case "LeakyRelu":
            return partial(_leaky_relu, given.get("alpha", 0.01))
        case "Transpose":
            return partial(_transpose, given["perm"])
    raise NotImplementedError(f"no operator {kind} in PyTorch's place for TensorRT")


def _shaped(kind: str, second: list[int] | None, given: Attributes) -> Operation:
    """Operators whose second input, axes or a shape, is a constant; older opsets have the axes as an attribute."""
    match kind:
        case "Reshape":
            assert second is not None
            return partial(_reshape, second, bool(given.get("allowzero", 0)))
        case "Squeeze":
            return partial(_squeeze, second)
        case "Unsqueeze":
            assert second is not None
            return partial(_unsqueeze, second)
    reduction = torch.mean if kind == "ReduceMean" else torch.sum
    return partial(_reduce, reduction, second, bool(given.get("keepdims", 1)))


def _convolution(kind: str, given: Attributes) -> Operation:
    pads = given.get("pads") or [0] * (2 * len(given["kernel_shape"]))
    half = len(pads) // 2
    uneven = pads[:half] != pads[half:]
    if uneven and kind != "Conv":
        raise NotImplementedError(f"{kind} with uneven pads {pads}")
    options = {
        "stride": given.get("strides", 1),
        "padding": 0 if uneven else pads[:half],
        "dilation": given.get("dilations", 1),
        "groups": given.get("group", 1),
    }
    if kind == "Conv" and uneven:
        return partial(_padded_convolution, (pads[1], pads[3], pads[0], pads[2]), options)
    if kind == "Conv":
        return partial(F.conv2d, **options)
    return partial(F.conv_transpose2d, output_padding=given.get("output_padding", 0), **options)


def _padded_convolution(
    pads: tuple[int, ...], options: Attributes, x: Tensor, weight: Tensor, bias: Tensor | None = None
) -> Tensor:
    return F.conv2d(F.pad(x, pads), weight, bias, **options)


def _average_pool(given: Attributes) -> Operation:
    pads = given.get("pads") or [0, 0, 0, 0]
    if pads[:2] != pads[2:] or given.get("ceil_mode", 0):
        raise NotImplementedError(f"AveragePool with pads {pads} or ceil_mode")
    return partial(
        F.avg_pool2d,
        kernel_size=given["kernel_shape"],
        stride=given.get("strides", 1),
        padding=pads[:2],
        count_include_pad=bool(given.get("count_include_pad", 0)),
    )


def _resize(scales: list[float], given: Attributes) -> Operation:
    wanted = {"mode": b"linear", "coordinate_transformation_mode": b"half_pixel"}
    other = any(given.get(name) != value for name, value in wanted.items())
    if other or scales[:2] != [1, 1] or given.get("antialias"):
        raise NotImplementedError(f"Resize with scales {scales} and {given}")
    return partial(F.interpolate, scale_factor=tuple(scales[2:]), mode="bilinear", align_corners=False)


def _gemm(
    alpha: float, beta: float, transpose_a: bool, transpose_b: bool, a: Tensor, b: Tensor, c: Tensor | None = None
) -> Tensor:
    a, b = (a.t() if transpose_a else a), (b.t() if transpose_b else b)
    if c is None:
        return a @ b if alpha == 1 else alpha * (a @ b)
    return torch.addmm(c, a, b, beta=beta, alpha=alpha)


def _reduce(reduction: Callable[..., Tensor], axes: list[int] | None, keep: bool, x: Tensor) -> Tensor:
    return reduction(x, dim=axes or list(range(x.ndim)), keepdim=keep)


def _reshape(shape: list[int], allow_zero: bool, x: Tensor) -> Tensor:
    return x.reshape([x.shape[i] if size == 0 and not allow_zero else size for i, size in enumerate(shape)])


def _squeeze(axes: list[int] | None, x: Tensor) -> Tensor:
    return x.squeeze() if axes is None else x.squeeze(axes)


def _unsqueeze(axes: list[int], x: Tensor) -> Tensor:
    for axis in sorted(axes):
        x = x.unsqueeze(axis)
    return x


def _gather(axis: int, x: Tensor, index: Tensor) -> Tensor:
    axis %= x.ndim
    taken = x.index_select(axis, index.reshape(-1))
    return taken.reshape([*x.shape[:axis], *index.shape, *x.shape[axis + 1 :]])


def _concat(axis: int, *tensors: Tensor) -> Tensor:
    return torch.cat(tensors, axis)


def _cast(to: torch.dtype, x: Tensor) -> Tensor:
    return x.to(to)


def _leaky_relu(slope: float, x: Tensor) -> Tensor:
    return F.leaky_relu(x, slope)


def _transpose(order: list[int], x: Tensor) -> Tensor:
    return x.permute(*order).contiguous()
