"""Engines of the stand-in for TensorRT: an ONNX graph, enqueued on a stream of the CUDA driver that is loaded."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime

from latentline.backends.tensorrt.graphs.rounding import emulate_rounding
from tests.gpu.standin.building import PLAN
from tests.gpu.standin.faults import Faults
from tests.gpu.standin.interface import DataType, ExecutionContextAllocationStrategy, TensorIOMode, tensor_of

Arrays = Mapping[str, npt.NDArray[Any]]
_HostFunction = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class Engine:
    """An engine but for its arithmetic, which a subclass gives in `_compute`. most: rows it takes."""

    def __init__(self, faults: Faults, graph: bytes, most: int) -> None:
        self._faults, self._most = faults, most
        self._model = onnx.load_from_string(graph)
        ports = self._model.graph
        self._tensors = {port.name: tensor_of(port) for port in [*ports.input, *ports.output]}
        self._inputs: list[str] = [port.name for port in ports.input]

    num_io_tensors = property(lambda self: len(self._tensors))

    def get_tensor_name(self, index: int) -> str:
        names: list[str] = list(self._tensors)
        return names[index]

    def get_tensor_dtype(self, name: str) -> DataType:
        return self._tensors[name].dtype

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self._tensors[name].shape

    def _shapes_at(self, inputs: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
        """The shapes of all tensors where the inputs have these."""
        model = onnx.ModelProto()
        model.CopyFrom(self._model)
        for port in model.graph.input:
            for dimension, size in zip(port.type.tensor_type.shape.dim, inputs[port.name], strict=True):
                dimension.dim_value = size
        for port in model.graph.output:
            port.type.tensor_type.ClearField("shape")
        known = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
        return {port.name: tensor_of(port).shape for port in [*known.input, *known.output]}

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        return TensorIOMode.INPUT if name in self._inputs else TensorIOMode.OUTPUT

    def create_execution_context(
        self, strategy: ExecutionContextAllocationStrategy = ExecutionContextAllocationStrategy.STATIC
    ) -> Context:
        return Context(self, strategy)

    def _compute(self, inputs: Arrays) -> Arrays:
        """The outputs by name, of inputs in the types of the graph's ports."""
        raise NotImplementedError


class OnnxRuntimeEngine(Engine):
    """In ONNX Runtime on the CPU; an fp16 graph computes with the rounding of fp16."""

    def __init__(self, faults: Faults, graph: bytes, most: int) -> None:
        super().__init__(faults, graph, most)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            emulate_rounding(graph), options, providers=["CPUExecutionProvider"]
        )

    def _compute(self, inputs: Arrays) -> Arrays:
        names = [name for name in self._tensors if name not in inputs]
        feeds = {name: array.astype(np.float32) for name, array in inputs.items()}
        return dict(zip(names, self._session.run(names, feeds), strict=True))


class Runtime:
    """load: makes the engine of a graph for that many rows."""

    def __init__(self, faults: Faults, load: Callable[[bytes, int], Engine]) -> None:
        self._faults, self._load = faults, load

    def deserialize_cuda_engine(self, plan: bytes) -> Engine | None:
        if self._faults.fails_to_load or not plan.startswith(PLAN):
            return None
        most, graph = plan[len(PLAN) :].split(b"\n", 1)
        return self._load(graph, int(most))


class Context:
    """One execution, a host function on the stream: it runs in stream order and can be captured.

    What it enqueued or captured lives as long as it does, as with an engine's memory.
    """

    _types: ClassVar[dict[DataType, type[np.generic]]] = {DataType.FLOAT: np.float32, DataType.HALF: np.float16}

    _memory = 4096  # bytes that the activations of any shape would need

    def __init__(self, engine: Engine, strategy: ExecutionContextAllocationStrategy) -> None:
        self._engine = engine
        self._has_memory = strategy == ExecutionContextAllocationStrategy.STATIC
        self._given: dict[str, tuple[int, ...]] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._addresses: dict[str, int] = {}
        self._callbacks: list[Any] = []

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        tensor = self._engine._tensors[name]
        fixed = len(shape) == len(tensor.shape) and all(
            own in (-1, size) for own, size in zip(tensor.shape[1:], shape[1:], strict=True)
        )
        if not fixed or not 0 < shape[0] <= self._engine._most:
            return False
        self._given[name] = tuple(shape)
        if set(self._given) == set(self._engine._inputs):
            self._shapes = self._engine._shapes_at(self._given)
        return True

    def update_device_memory_size_for_shapes(self) -> int:
        assert self._shapes, "every input needs a shape before"
        return self._memory

    def set_device_memory(self, memory: int, size: int) -> None:
        assert memory % 256 == 0 and size >= self._memory
        self._has_memory = True

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self._shapes[name]

    def set_tensor_address(self, name: str, address: int) -> bool:
        if name not in self._engine._tensors or name == self._engine._faults.refused_address:
            return False
        self._addresses[name] = int(address)
        return True

    def execute_async_v3(self, stream_handle: int) -> bool:
        if not self._ready():
            return False
        callback = _HostFunction(self._frozen())
        self._callbacks.append(callback)
        driver = ctypes.CDLL("libcuda.so.1")
        # On the emulation, work with a name stands for kernels: it checks that their memory is alive whenever they run.
        if hasattr(driver, "fake_cuda_annotate") and not self._engine._faults.works_on_the_host:
            memory = (ctypes.c_size_t * len(self._addresses))(*self._addresses.values())
            driver.fake_cuda_annotate(b"engine", memory, ctypes.c_size_t(len(memory)))
        launch = driver.cuLaunchHostFunc
        launch.argtypes = [ctypes.c_void_p, _HostFunction, ctypes.c_void_p]
        return bool(launch(stream_handle, callback, None) == 0)

    def _ready(self) -> bool:
        engine = self._engine
        bound = self._has_memory and bool(self._shapes) and set(self._addresses) == set(engine._tensors)
        return bound and not engine._faults.fails_to_execute

    def _frozen(self) -> Callable[[Any], None]:
        """The run with the addresses and the batch of now."""
        arrays = {name: self._array(name, address) for name, address in self._addresses.items()}
        inputs = {name: arrays[name] for name in self._engine._inputs}
        compute = self._engine._compute

        def run(_: Any) -> None:
            for name, result in compute(inputs).items():
                arrays[name][...] = result.astype(arrays[name].dtype)

        return run

    def _dtype(self, name: str) -> np.dtype[Any]:
        return np.dtype(self._types[self._engine._tensors[name].dtype])

    def _array(self, name: str, address: int) -> npt.NDArray[Any]:
        dtype, shape = self._dtype(name), self.get_tensor_shape(name)
        memory = (ctypes.c_char * (int(np.prod(shape)) * dtype.itemsize)).from_address(address)
        array: npt.NDArray[Any] = np.frombuffer(memoryview(memory), dtype)
        return array.reshape(shape)
