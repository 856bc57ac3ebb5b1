"""PyTorch standing in for TensorRT: engines whose kernels are cuDNN's, cuBLAS's and PyTorch's.

On a GPU an execution puts those kernels on the stream and the addresses it is given, also while that stream is
captured. Everything else, context, memory, streams, capture, graph and the kernels of kernels.cu, is the product's own
on the real driver. Without a GPU the same graph runs on the tests-only driver, in stream order.

This is not TensorRT: times with it are neither TensorRT's nor a floor, and its numerics are PyTorch's.

An execution behaves as an engine's: its memory is its own and stays where it is, it does not synchronise, it allocates
nothing that a capture forbids, products of float32 are float32 (no TF32), and it takes the same algorithms every time.
"""

from __future__ import annotations

import ctypes
from functools import cache

import numpy as np
import torch

from tests.gpu.standin.engine import Arrays, Context, Engine
from tests.gpu.standin.faults import Faults
from tests.gpu.standin.interface import ExecutionContextAllocationStrategy
from tests.gpu.standin.module import StandIn
from tests.gpu.standin.torch_graph import TorchGraph

WARM_UPS = 3  # executions at the first enqueue: cuDNN chooses its algorithms, the memory pool fills


class TorchStandIn(StandIn):
    """The module `tensorrt` with engines in PyTorch.

    device  "cuda", or "cpu" beside the tests-only driver; None: "cpu" where this process has loaded that driver
    """

    __version__ = f"0.0.standin+torch{torch.__version__}"

    def __init__(self, device: str | None = None) -> None:
        super().__init__()
        self._device = torch.device(device or _device_of_this_process())
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False

    def _load(self, graph: bytes, most: int) -> TorchEngine:
        return TorchEngine(self, graph, most, self._device)


class TorchEngine(Engine):
    """A graph in PyTorch on `device`."""

    def __init__(self, faults: Faults, graph: bytes, most: int, device: torch.device) -> None:
        super().__init__(faults, graph, most)
        self._device = device
        self._graph = TorchGraph(graph, device)
        if device.type == "cuda":
            torch.cuda.synchronize()  # the weights are there before another stream reads them

    def create_execution_context(
        self, strategy: ExecutionContextAllocationStrategy = ExecutionContextAllocationStrategy.STATIC
    ) -> Context:
        return CudaContext(self, strategy) if self._device.type == "cuda" else Context(self, strategy)

    def _compute(self, inputs: Arrays) -> Arrays:
        outputs = self._graph({name: torch.from_numpy(array) for name, array in inputs.items()})
        return {name: tensor.numpy() for name, tensor in outputs.items()}


class CudaContext(Context):
    """An execution on a GPU. Its tensors lie at the addresses that it has when it is first enqueued."""

    _engine: TorchEngine

    def __init__(self, engine: TorchEngine, strategy: ExecutionContextAllocationStrategy) -> None:
        super().__init__(engine, strategy)
        self._bound: dict[str, torch.Tensor] = {}

    def set_tensor_address(self, name: str, address: int) -> bool:
        self._bound.clear()
        return super().set_tensor_address(name, address)

    def execute_async_v3(self, stream_handle: int) -> bool:
        if not self._ready():
            return False
        stream = torch.cuda.ExternalStream(stream_handle)  # type: ignore[no-untyped-call]
        with torch.cuda.stream(stream):
            times = 1 if self._bound else WARM_UPS
            if not self._bound:
                self._bind()
            with torch.cuda.use_mem_pool(_memory_of_executions()):
                for _ in range(times):
                    self._run()
        return True

    def _bind(self) -> None:
        device = self._engine._device
        for name, address in self._addresses.items():
            memory = _DeviceMemory(address, self.get_tensor_shape(name), self._dtype(name))
            self._bound[name] = torch.as_tensor(memory, device=device)
            assert self._bound[name].data_ptr() == address, "PyTorch copied the memory instead of taking it"
        one = torch.ones(8, 8, device=device)
        torch.mm(one, one)  # cuBLAS takes its workspace of this stream here, outside the pool

    def _run(self) -> None:
        results = self._engine._graph({name: self._bound[name] for name in self._engine._inputs})
        with torch.inference_mode():
            for name, result in results.items():
                self._bound[name].copy_(result)


class _DeviceMemory:
    """Device memory that `torch.as_tensor` takes as it is."""

    def __init__(self, address: int, shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> None:
        self.__cuda_array_interface__ = {
            "version": 3,
            "data": (address, False),
            "shape": shape,
            "typestr": dtype.str,
            "strides": None,
            "stream": None,
        }


def _device_of_this_process() -> str:
    return "cpu" if hasattr(ctypes.CDLL("libcuda.so.1"), "fake_cuda_annotate") else "cuda"


@cache
def _memory_of_executions() -> torch.cuda.MemPool:
    """The pool of all executions of this process.

    They follow one another on one stream, so they may use the same memory; and a captured graph goes on using it, so
    it must outlive the module that enqueued into it.
    """
    return torch.cuda.MemPool()
