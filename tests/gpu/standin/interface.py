"""The enumerations and small classes of `tensorrt` that engines are built and bound with."""

from __future__ import annotations

from enum import Enum, IntEnum

import onnx


class DataType(Enum):
    FLOAT = onnx.TensorProto.FLOAT
    HALF = onnx.TensorProto.FLOAT16
    BOOL = onnx.TensorProto.BOOL
    INT64 = onnx.TensorProto.INT64


class LayerType(Enum):
    CONVOLUTION = "Conv"
    DECONVOLUTION = "ConvTranspose"
    MATRIX_MULTIPLY = "MatMul"
    ELEMENTWISE = "other"


class ExecutionContextAllocationStrategy(Enum):
    STATIC, ON_PROFILE_CHANGE, USER_MANAGED = range(3)


class TensorIOMode(Enum):
    NONE, INPUT, OUTPUT = 0, 1, 2


class NetworkDefinitionCreationFlag(IntEnum):
    STRONGLY_TYPED = 1  # TensorRT 10's; 11's is 0


class MemoryPoolType(Enum):
    WORKSPACE = 0


class BuilderFlag(Enum):
    TF32 = 0


class Severity(IntEnum):
    INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = range(5)


class ILogger:
    INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = Severity

    def log(self, severity: Severity, message: str) -> None:
        raise NotImplementedError


class Logger(ILogger):
    def __init__(self, min_severity: Severity = ILogger.WARNING) -> None:
        self.min_severity = min_severity

    def log(self, severity: Severity, message: str) -> None:
        if severity <= self.min_severity:
            print(message)


class IProgressMonitor:
    pass


class Tensor:
    def __init__(self, name: str, dtype: DataType, shape: tuple[int, ...] = ()) -> None:
        self.name, self.dtype, self.shape = name, dtype, shape


def tensor_of(port: onnx.ValueInfoProto) -> Tensor:
    """A graph's input or output; a size that the graph leaves open is -1."""
    kind = port.type.tensor_type
    shape = tuple(d.dim_value if d.HasField("dim_value") else -1 for d in kind.shape.dim)
    return Tensor(port.name, DataType(kind.elem_type), shape)
