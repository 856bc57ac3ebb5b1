"""A stand-in for the module `tensorrt`, for tests without a GPU: an "engine" is an ONNX graph in ONNX Runtime.

It has nothing that is not in TensorRT 10.3, 10.13 and 11.4 alike. Its executions are enqueued on a real stream of the
CUDA driver that is loaded, the tests-only one, by cuLaunchHostFunc; so they run in stream order and can be captured.
An fp16 engine computes with the rounding of fp16. This is not TensorRT: it proves order, names, types and shapes.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from enum import Enum, IntEnum
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime

from latentline.backends.tensorrt.graphs.rounding import emulate_rounding

_PLAN = b"stand-in plan\n"
_HostFunction = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class StandIn:
    """The module. Attributes that make it misbehave, read when they matter:

    refused_address    name of a tensor whose address is refused
    fails_to_execute   execute_async_v3 gives False
    fails_to_load      deserialisation gives None
    fails_to_build     building gives None
    fails_to_build_after  how many engines can be built until then; None: any number
    refused_timings    a timing cache of that content does not fit
    no_gpu             a builder cannot be made
    `builds` counts the builds, `offered_timings` are the timing caches that were offered.
    """

    __name__ = "tensorrt"
    __version__ = "10.3.0"

    def __init__(self) -> None:
        self.refused_address: str | None = None
        self.fails_to_execute = self.fails_to_load = self.fails_to_build = self.no_gpu = False
        self.fails_to_build_after: int | None = None
        self.refused_timings: bytes | None = None
        self.builds = 0
        self.offered_timings: list[bytes] = []
        self.DataType, self.LayerType, self.TensorIOMode = DataType, LayerType, TensorIOMode
        self.NetworkDefinitionCreationFlag, self.MemoryPoolType = NetworkDefinitionCreationFlag, MemoryPoolType
        self.BuilderFlag = BuilderFlag
        self.ILogger, self.Logger, self.IProgressMonitor = ILogger, Logger, IProgressMonitor
        self.OnnxParser = OnnxParser

    def Builder(self, logger: ILogger) -> Builder:
        if self.no_gpu:
            logger.log(ILogger.ERROR, "CUDA initialization failure with error: 35")
            raise TypeError("pybind11::init(): factory function returned nullptr")
        return Builder(self)

    def Runtime(self, logger: ILogger) -> Runtime:
        return Runtime(self)


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


class Layer:
    def __init__(self, node: onnx.NodeProto, output: Tensor) -> None:
        kinds = {"Conv": "Conv", "ConvTranspose": "ConvTranspose", "MatMul": "MatMul", "Gemm": "MatMul"}
        self.name, self.type, self._output = node.name, LayerType(kinds.get(node.op_type, "other")), output

    def get_output(self, index: int) -> Tensor:
        return [self._output][index]


class Network:
    def __init__(self, flags: int) -> None:
        assert flags == 1 << NetworkDefinitionCreationFlag.STRONGLY_TYPED, "a network must be strongly typed"
        self._graph = b""
        self._inputs: list[Tensor] = []
        self._outputs: list[Tensor] = []
        self._layers: list[Layer] = []

    num_inputs = property(lambda self: len(self._inputs))
    num_outputs = property(lambda self: len(self._outputs))
    num_layers = property(lambda self: len(self._layers))

    def get_input(self, index: int) -> Tensor:
        return self._inputs[index]

    def get_output(self, index: int) -> Tensor:
        return self._outputs[index]

    def get_layer(self, index: int) -> Layer:
        return self._layers[index]


class ParserError:
    def __init__(self, description: str) -> None:
        self._description = description

    def desc(self) -> str:
        return self._description

    def node(self) -> int:
        return -1


class OnnxParser:
    def __init__(self, network: Network, logger: ILogger) -> None:
        self._network = network
        self._errors: list[ParserError] = []

    num_errors = property(lambda self: len(self._errors))

    def get_error(self, index: int) -> ParserError:
        return self._errors[index]

    def parse(self, content: bytes) -> bool:
        try:
            graph = onnx.shape_inference.infer_shapes(
                onnx.load_from_string(content), check_type=True, strict_mode=True
            ).graph
            types = {v.name: DataType(v.type.tensor_type.elem_type) for v in [*graph.value_info, *graph.output]}
        except Exception as error:
            self._errors.append(ParserError(str(error)))
            return False
        network = self._network
        network._graph = content
        network._inputs, network._outputs = [_tensor(v) for v in graph.input], [_tensor(v) for v in graph.output]
        network._layers = [Layer(node, Tensor(node.output[0], types[node.output[0]])) for node in graph.node]
        return True


class TimingCache:
    def serialize(self) -> bytes:
        return b"timings"


class BuilderConfig:
    def __init__(self, module: StandIn) -> None:
        self._module = module
        self.max_aux_streams = -1
        self.progress_monitor: Any = None
        self._profiles: list[Profile] = []
        self._timings: TimingCache | None = None

    def set_memory_pool_limit(self, pool: MemoryPoolType, size: int) -> None:
        assert size > 0

    def clear_flag(self, flag: BuilderFlag) -> None:
        pass

    def create_timing_cache(self, content: bytes) -> TimingCache | None:
        self._module.offered_timings.append(content)
        return None if content == self._module.refused_timings else TimingCache()

    def set_timing_cache(self, cache: TimingCache, ignore_mismatch: bool) -> bool:
        self._timings = cache
        return True

    def add_optimization_profile(self, profile: Profile) -> int:
        self._profiles.append(profile)
        return len(self._profiles) - 1


class Profile:
    def __init__(self) -> None:
        self._most = 0

    def set_shape(self, name: str, smallest: tuple[int, ...], best: tuple[int, ...], largest: tuple[int, ...]) -> None:
        assert smallest[1:] == best[1:] == largest[1:] and 0 < smallest[0] <= best[0] <= largest[0]
        self._most = largest[0]


class HostMemory:
    def __init__(self, content: bytes) -> None:
        self._content, self.nbytes = content, len(content)

    def __bytes__(self) -> bytes:
        return self._content


class Builder:
    def __init__(self, module: StandIn) -> None:
        self._module = module

    def create_network(self, flags: int) -> Network:
        return Network(flags)

    def create_builder_config(self) -> BuilderConfig:
        return BuilderConfig(self._module)

    def create_optimization_profile(self) -> Profile:
        return Profile()

    def build_serialized_network(self, network: Network, config: BuilderConfig) -> HostMemory | None:
        config.progress_monitor.phase_start("Building", None, 1)
        config.progress_monitor.step_complete("Building", 0)
        config.progress_monitor.phase_finish("Building")
        module = self._module
        module.builds += 1
        failed = module.fails_to_build or module.builds > (module.fails_to_build_after or module.builds)
        most = b"%d\n" % config._profiles[0]._most
        return None if failed else HostMemory(_PLAN + most + network._graph)


class Runtime:
    def __init__(self, module: StandIn) -> None:
        self._module = module

    def deserialize_cuda_engine(self, plan: bytes) -> Engine | None:
        if self._module.fails_to_load or not plan.startswith(_PLAN):
            return None
        most, graph = plan[len(_PLAN) :].split(b"\n", 1)
        return Engine(self._module, graph, int(most))


class Engine:
    def __init__(self, module: StandIn, graph: bytes, most: int) -> None:
        self._module, self._most = module, most
        ports = onnx.load_from_string(graph).graph
        self._tensors = {port.name: _tensor(port) for port in [*ports.input, *ports.output]}
        self._inputs = [port.name for port in ports.input]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            emulate_rounding(graph), options, providers=["CPUExecutionProvider"]
        )

    num_io_tensors = property(lambda self: len(self._tensors))

    def get_tensor_name(self, index: int) -> str:
        name: str = list(self._tensors)[index]
        return name

    def get_tensor_dtype(self, name: str) -> DataType:
        return self._tensors[name].dtype

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self._tensors[name].shape

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        return TensorIOMode.INPUT if name in self._inputs else TensorIOMode.OUTPUT

    def create_execution_context(self) -> Context:
        return Context(self)


class Context:
    """One execution. What it enqueued or captured lives as long as it does, as with an engine's memory."""

    _types: ClassVar = {DataType.FLOAT: np.float32, DataType.HALF: np.float16}

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._rows = 0
        self._addresses: dict[str, int] = {}
        self._callbacks: list[Any] = []

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        tensor = self._engine._tensors[name]
        if tuple(shape)[1:] != tensor.shape[1:] or not 0 < shape[0] <= self._engine._most:
            return False
        self._rows = shape[0]
        return True

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return (self._rows, *self._engine._tensors[name].shape[1:])

    def set_tensor_address(self, name: str, address: int) -> bool:
        if name not in self._engine._tensors or name == self._engine._module.refused_address:
            return False
        self._addresses[name] = int(address)
        return True

    def execute_async_v3(self, stream_handle: int) -> bool:
        if self._engine._module.fails_to_execute or set(self._addresses) != set(self._engine._tensors):
            return False
        if not self._rows:
            return False
        callback = _HostFunction(self._frozen())
        self._callbacks.append(callback)
        driver = ctypes.CDLL("libcuda.so.1")
        if hasattr(driver, "fake_cuda_annotate"):  # the emulation checks that this memory is alive whenever it runs
            memory = (ctypes.c_size_t * len(self._addresses))(*self._addresses.values())
            driver.fake_cuda_annotate(b"engine", memory, ctypes.c_size_t(len(memory)))
        launch = driver.cuLaunchHostFunc
        launch.argtypes = [ctypes.c_void_p, _HostFunction, ctypes.c_void_p]
        return bool(launch(stream_handle, callback, None) == 0)

    def _frozen(self) -> Callable[[Any], None]:
        """The run with the addresses and the batch of now."""
        arrays = {name: self._array(name, address) for name, address in self._addresses.items()}
        inputs = {name: arrays[name] for name in self._engine._inputs}
        outputs = {name: array for name, array in arrays.items() if name not in inputs}
        session = self._engine._session

        def run(_: Any) -> None:
            feeds = {name: array.astype(np.float32) for name, array in inputs.items()}
            for array, result in zip(outputs.values(), session.run(list(outputs), feeds), strict=True):
                array[...] = result.astype(array.dtype)

        return run

    def _array(self, name: str, address: int) -> npt.NDArray[Any]:
        dtype = np.dtype(self._types[self._engine._tensors[name].dtype])
        shape = self.get_tensor_shape(name)
        memory = (ctypes.c_char * (int(np.prod(shape)) * dtype.itemsize)).from_address(address)
        array: np.ndarray = np.frombuffer(memoryview(memory), dtype).reshape(shape)
        return array


def _tensor(value: onnx.ValueInfoProto) -> Tensor:
    kind = value.type.tensor_type
    dims = tuple(d.dim_value if d.HasField("dim_value") else -1 for d in kind.shape.dim)
    return Tensor(value.name, DataType(kind.elem_type), dims)
