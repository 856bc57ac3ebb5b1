"""TensorRT engines: load them, bind them to memory, enqueue them. The TensorRT module, 10.x or 11.x, is a parameter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pycuda.driver as cuda

from latentline.backends.tensorrt.gpu.memory import Arena
from latentline.errors import BackendError, EngineError


def start_runtime(trt: Any) -> Any:
    """The runtime that loads engines. Raises BackendError when TensorRT does not work with this driver."""
    try:
        return trt.Runtime(trt.Logger(trt.Logger.WARNING))
    except (TypeError, RuntimeError) as error:  # from pybind11, when TensorRT's factory returns nullptr
        raise BackendError(
            f"{trt.__name__} {trt.__version__} cannot start here ({error}); its log gives the reason, often a driver "
            "that is too old for it"
        ) from None


class Engine:
    """The engine of one graph, loaded on this device. Raises EngineError when TensorRT cannot load it."""

    def __init__(self, trt: Any, runtime: Any, name: str, plan: bytes) -> None:
        self.name = name
        self._trt = trt
        self._engine = runtime.deserialize_cuda_engine(plan)
        if self._engine is None:
            raise EngineError(
                f"TensorRT cannot load the engine of {name} from the cache; delete the cache folder, so that it is "
                "built again"
            )
        types: dict[Any, np.dtype[Any]] = {
            trt.DataType.FLOAT: np.dtype(np.float32),
            trt.DataType.HALF: np.dtype(np.float16),
        }
        names = [self._engine.get_tensor_name(i) for i in range(self._engine.num_io_tensors)]
        self.types = {port: types.get(self._engine.get_tensor_dtype(port)) for port in names}
        self._inputs = [p for p in names if self._engine.get_tensor_mode(p) == trt.TensorIOMode.INPUT]

    def bind(
        self, addresses: Mapping[str, int], shapes: Mapping[str, tuple[int, ...]], arena: Arena | None = None
    ) -> Call:
        """Bind this engine to memory, as a call that may be enqueued any number of times.

        Addresses of all tensors and shapes of the inputs are given by name.
        arena  where the activations are, as many as these shapes need; None: TensorRT allocates as many as any need
        Raises EngineError when the names are not those of the engine, BackendError when TensorRT refuses an address or
        a shape.
        """
        if set(addresses) != set(self.types):
            raise EngineError(
                f"the engine of {self.name} has the tensors {', '.join(sorted(self.types))}, not "
                f"{', '.join(sorted(addresses))}; delete the cache folder, so that it is built again"
            )
        context = self._context(arena is not None)
        if context is None:
            raise BackendError(f"TensorRT cannot run {self.name}: no memory for its activations; use a smaller batch")
        for port in self._inputs:
            if not context.set_input_shape(port, shapes[port]):
                raise BackendError(f"the engine of {self.name} refuses {port} {list(shapes[port])}")
        if arena is not None and (needed := context.update_device_memory_size_for_shapes()):
            context.set_device_memory(arena.device((needed,), np.uint8).address, needed)
        for port, address in addresses.items():
            if not context.set_tensor_address(port, address):
                raise BackendError(f"the engine of {self.name} refuses the memory of {port}")
        return Call(self.name, context)

    def _context(self, without_memory: bool) -> Any:
        """An execution context, with or without memory for its activations; None when memory is short.

        TensorRT-RTX must finish its kernels for a shape at the first run. By default it does so in the background, so
        that a graph captured before that keeps slower ones.
        """
        strategy = self._trt.ExecutionContextAllocationStrategy.STATIC
        if without_memory:
            strategy = self._trt.ExecutionContextAllocationStrategy.USER_MANAGED
        specialisation = getattr(self._trt, "DynamicShapesKernelSpecializationStrategy", None)
        if specialisation is None:
            return self._engine.create_execution_context(strategy)
        config = self._engine.create_runtime_config()
        config.set_execution_context_allocation_strategy(strategy)
        config.dynamic_shapes_kernel_specialization_strategy = specialisation.EAGER
        return self._engine.create_execution_context(config)


class Call:
    """An engine bound to memory: `enqueue` runs it once, in the order of the stream."""

    def __init__(self, name: str, context: Any) -> None:
        self._name = name
        self._context = context

    def enqueue(self, stream: cuda.Stream) -> None:
        """Enqueue one run on `stream`. Raises BackendError when TensorRT refuses."""
        if not self._context.execute_async_v3(stream.handle):
            raise BackendError(f"TensorRT failed to run {self._name}; its log gives the reason")


def real_type(engines: Mapping[str, Engine]) -> np.dtype[Any]:
    """The type of images and features, float32 or float16: that of the generator's image. Raises EngineError."""
    image_type = engines["generator.onnx"].types["image"]
    if image_type is None:
        raise EngineError("the engine of generator.onnx gives an image that is neither float32 nor float16")
    return image_type
