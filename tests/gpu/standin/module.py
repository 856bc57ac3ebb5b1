"""A stand-in for the module `tensorrt`, for tests without TensorRT: an "engine" executes an ONNX graph.

It has nothing that is not in TensorRT 10.3, 10.13 and 11.4 alike. This is not TensorRT: it proves order, names, types
and shapes, and says nothing about TensorRT's numerics or speed.
"""

from __future__ import annotations

from tests.gpu.standin import building, engine, interface
from tests.gpu.standin.faults import Faults


class StandIn(Faults):
    """The module, with engines in ONNX Runtime on the CPU, for the tests-only CUDA driver."""

    __name__ = "tensorrt"
    __version__ = "10.3.0"

    def __init__(self) -> None:
        super().__init__()
        self.DataType, self.LayerType, self.TensorIOMode = (
            interface.DataType,
            interface.LayerType,
            interface.TensorIOMode,
        )
        self.NetworkDefinitionCreationFlag = interface.NetworkDefinitionCreationFlag
        self.ExecutionContextAllocationStrategy = interface.ExecutionContextAllocationStrategy
        self.MemoryPoolType, self.BuilderFlag = interface.MemoryPoolType, interface.BuilderFlag
        self.ILogger, self.Logger = interface.ILogger, interface.Logger
        self.IProgressMonitor = interface.IProgressMonitor
        self.OnnxParser = building.OnnxParser

    def Builder(self, logger: interface.ILogger) -> building.Builder:
        if self.no_gpu:
            logger.log(interface.ILogger.ERROR, "CUDA initialization failure with error: 35")
            raise TypeError("pybind11::init(): factory function returned nullptr")
        return building.Builder(self)

    def Runtime(self, logger: interface.ILogger) -> engine.Runtime:
        return engine.Runtime(self, self._load)

    def _load(self, graph: bytes, most: int) -> engine.Engine:
        return engine.OnnxRuntimeEngine(self, graph, most)
