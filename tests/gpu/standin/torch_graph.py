"""An ONNX graph of a package, executed by PyTorch operation by operation: on a CPU, or on a CUDA stream.

It knows the operators that `prepare_graph` leaves, and no others. Types are the graph's: fp16 nodes compute in half.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor

from tests.gpu.standin.torch_operators import Operation, operation_of


@dataclass(frozen=True)
class Step:
    """One node: what it does, the names it takes and gives, and the values that nobody reads after it."""

    operation: Operation
    inputs: tuple[str, ...]
    output: str
    last_used: tuple[str, ...]


class TorchGraph:
    """The graph `content`, ONNX bytes, on `device`.

    Shapes and axes are read once, here: an execution copies nothing to the host, so a CUDA stream can capture it.
    Raises NotImplementedError, naming the operator, for a graph that `prepare_graph` did not make.
    """

    def __init__(self, content: bytes, device: torch.device) -> None:
        graph = onnx.load_from_string(content).graph
        arrays: dict[str, npt.NDArray[Any]] = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
        self._constants = {name: torch.from_numpy(np.array(array)).to(device) for name, array in arrays.items()}
        self._outputs = tuple(port.name for port in graph.output)
        last = {name: place for place, node in enumerate(graph.node) for name in node.input}
        kept = {*self._constants, *self._outputs}
        self._steps = []
        for place, node in enumerate(graph.node):
            operation, inputs = operation_of(node, arrays)
            freed = tuple(name for name in {*node.input} if name and last[name] == place and name not in kept)
            self._steps.append(Step(operation, inputs, node.output[0], freed))

    def __call__(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The outputs by name. Memory of a value is free for the next one after its last use, as in an engine."""
        values = {**self._constants, **inputs}
        with torch.inference_mode():
            for step in self._steps:
                values[step.output] = step.operation(*(values[name] for name in step.inputs))
                for name in step.last_used:
                    del values[name]
        return {name: values[name] for name in self._outputs}
