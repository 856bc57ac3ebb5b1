"""The forward graphs of a package as differentiable networks: an oracle made from the package alone.

PyTorch evaluates a graph node by node. So `trainer.reference.search.search_loss` and autograd give L' and ∂L'/∂z in
float64, without the checkpoint and without the code that wrote the search step.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import onnx
import onnx.helper
import onnx.numpy_helper
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from latentline.errors import VerificationError

Attributes = dict[str, Any]


class OnnxNetwork(nn.Module):
    """A forward graph of a package, differentiable with respect to its one input.

    dtype    of constants and input
    outputs  names of the outputs to compute; None: all
    kinks    while it is a list, each leaky ReLU appends its input
    """

    def __init__(
        self,
        content: bytes,
        name: str,
        dtype: torch.dtype = torch.float64,
        outputs: Collection[str] | None = None,
    ) -> None:
        super().__init__()
        graph = onnx.load_from_string(content).graph
        self._outputs = [port.name for port in graph.output if outputs is None or port.name in outputs]
        unknown = {node.op_type for node in graph.node} - set(_OPERATORS)
        if unknown:
            operators = ", ".join(sorted(unknown))
            raise VerificationError(f"{name}: holds {operators}, which the exporter does not write; export it again")
        self._nodes = [
            (
                n.op_type,
                list(n.input),
                list(n.output),
                {a.name: onnx.helper.get_attribute_value(a) for a in n.attribute},
            )
            for n in _nodes_leading_to(self._outputs, graph.node)
        ]
        self._constants = {i.name: _tensor(i, dtype) for i in graph.initializer}
        self._input = graph.input[0].name
        self.kinks: list[Tensor] | None = None

    def forward(self, value: Tensor) -> Any:
        """The output, or a tuple of the outputs, for an input in `dtype`."""
        values = {**self._constants, self._input: value}
        for kind, inputs, names, attributes in self._nodes:
            arguments = [values[name] if name else None for name in inputs]
            if kind == "LeakyRelu" and self.kinks is not None:
                self.kinks.append(values[inputs[0]])
            result = _OPERATORS[kind](arguments, attributes)
            values.update(zip(names, result if len(names) > 1 else (result,), strict=True))
        outputs = tuple(values[name] for name in self._outputs)
        return outputs if len(outputs) > 1 else outputs[0]


def _nodes_leading_to(outputs: Sequence[str], nodes: Sequence[Any]) -> list[Any]:
    """The nodes that `outputs` depend on, in their order."""
    needed, found = set(outputs), []
    for node in reversed(nodes):
        if needed & set(node.output):
            needed |= set(node.input)
            found.append(node)
    return found[::-1]


def _tensor(initializer: Any, dtype: torch.dtype) -> Tensor:
    tensor = torch.from_numpy(onnx.numpy_helper.to_array(initializer).copy())
    return tensor.to(dtype) if tensor.is_floating_point() else tensor


def _convolve(transposed: bool) -> Callable[[list[Any], Attributes], Tensor]:
    def run(arguments: list[Any], attributes: Attributes) -> Tensor:
        h, weight, *bias = arguments
        stride, pads = tuple(attributes.get("strides", (1, 1))), attributes.get("pads", [0, 0, 0, 0])
        if pads[0] != pads[2] or pads[1] != pads[3] or attributes.get("group", 1) != 1:
            raise VerificationError(
                "a graph has a convolution with uneven padding or groups, which the exporter does not write; "
                "export the package again"
            )
        convolution = F.conv_transpose2d if transposed else F.conv2d
        return convolution(h, weight, bias[0] if bias else None, stride=stride, padding=tuple(pads[:2]))

    return run


def _gemm(arguments: list[Any], attributes: Attributes) -> Tensor:
    a, b, *c = arguments
    a, b = (a.T if attributes.get("transA") else a), (b.T if attributes.get("transB") else b)
    product: Tensor = attributes.get("alpha", 1.0) * (a @ b)
    return product + attributes.get("beta", 1.0) * c[0] if c else product


def _mean(arguments: list[Any], attributes: Attributes) -> Tensor:
    mean: Tensor = arguments[0].mean(dim=arguments[1].tolist(), keepdim=bool(attributes.get("keepdims", 1)))
    return mean


def _reshape(arguments: list[Any], attributes: Attributes) -> Tensor:
    h, shape = arguments
    reshaped: Tensor = h.reshape([h.shape[i] if n == 0 else n for i, n in enumerate(shape.tolist())])
    return reshaped


def _unsqueezed(shape: Sequence[int], axes: list[int]) -> list[int]:
    rest = iter(shape)
    rank = len(shape) + len(axes)
    return [1 if i in axes or i - rank in axes else next(rest) for i in range(rank)]


def _split(arguments: list[Any], attributes: Attributes) -> tuple[Tensor, ...]:
    h, *sizes = arguments
    dim = attributes.get("axis", 0)
    if sizes:
        return torch.split(h, sizes[0].tolist(), dim)
    return torch.chunk(h, attributes["num_outputs"], dim)


_OPERATORS: dict[str, Callable[[list[Any], Attributes], Any]] = {
    "Add": lambda a, _: a[0] + a[1],
    "Conv": _convolve(transposed=False),
    "ConvTranspose": _convolve(transposed=True),
    "Div": lambda a, _: a[0] / a[1],
    "Gather": lambda a, attributes: a[0].index_select(attributes.get("axis", 0), a[1]),
    "Gemm": _gemm,
    "LeakyRelu": lambda a, attributes: F.leaky_relu(a[0], round(attributes.get("alpha", 0.01), 6)),
    "MatMul": lambda a, _: a[0] @ a[1],
    "Mul": lambda a, _: a[0] * a[1],
    "ReduceMean": _mean,
    "Reciprocal": lambda a, _: a[0].reciprocal(),
    "Reshape": _reshape,
    "Sqrt": lambda a, _: a[0].sqrt(),
    "Split": _split,
    "Squeeze": lambda a, _: a[0].squeeze(a[1].item()),
    "Tanh": lambda a, _: a[0].tanh(),
    "Transpose": lambda a, attributes: a[0].permute(attributes["perm"]),
    "Unsqueeze": lambda a, _: a[0].reshape(_unsqueezed(a[0].shape, a[1].tolist())),
}
