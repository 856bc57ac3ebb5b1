"""Everything that a trunk holds on a GPU: engine, memory, and upload, engine and download as one CUDA graph."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from typing import Any

import numpy as np
import numpy.typing as npt
import pycuda.driver as cuda

from latentline.backends.tensorrt.gpu.capture import Graph, GraphDriver
from latentline.backends.tensorrt.gpu.device import Device, driver_errors
from latentline.backends.tensorrt.gpu.engine import Call, Engine, start_runtime
from latentline.backends.tensorrt.gpu.memory import Arena
from latentline.errors import BackendError
from latentline.package.model_package import TRUNK
from latentline.trunk.spec import TrunkNetwork

Float = npt.NDArray[np.float32]
_log = logging.getLogger(__name__)
_NON_BLOCKING = 1  # CU_STREAM_NON_BLOCKING, as in `session.py`


class TrunkSession:
    """A trunk on a device. Only the thread that opened it may use it.

    device  open; the session closes it, also when opening the session fails
    trt     the TensorRT module
    plan    the trunk's engine, float32
    Raises BackendError and EngineError.
    """

    def __init__(self, device: Device, network: TrunkNetwork, trt: Any, plan: bytes) -> None:
        self._device, self._arena = device, Arena(device.integrated)
        self._graph: Graph | None = None
        self._closed = False
        try:
            with driver_errors("the GPU cannot be prepared for the trunk"), device.current():
                self._stream = cuda.Stream(_NON_BLOCKING)
                self._done = cuda.Event(cuda.event_flags.BLOCKING_SYNC)
                self._image = self._arena.mirror((1, network.input_channels, network.height, network.width), np.float32)
                self._features = self._arena.mirror((1, network.features, *network.grid), np.float32)
                self._image.host[...] = 0
                self._call = self._bound(trt, plan)
                self._enqueue()  # TensorRT sets up at the first run, which must not happen during a capture
                self._stream.synchronize()
                self._graph = GraphDriver().capture_retrying(self._stream, self._enqueue)
                self._graph.upload(self._stream)
        except BaseException:
            self.close()
            raise

    def run(self, image: Float) -> Float:
        """Features [1, C, h, w] of a picture [1, channels, H, W]; one launch. Raises BackendError, DeviceLostError."""
        if self._closed or self._graph is None:
            raise BackendError("this trunk is closed; open another one")
        with self._device.working("the trunk failed on the GPU"):
            self._image.host[...] = image
            self._graph.launch(self._stream)
            self._done.record(self._stream)
            self._done.synchronize()
            return np.array(self._features.host)

    def close(self) -> None:
        """Release everything, in any state and on any thread. Closing twice does nothing."""
        if self._closed:
            return
        self._closed = True
        try:
            with ExitStack() as stack:  # runs from last to first, and goes on after an error
                stack.callback(self._device.close)
                stack.enter_context(self._device.current(anywhere=True))
                stack.callback(self._drop)
                stack.callback(self._arena.close)
                if self._graph is not None:
                    stack.callback(self._graph.close)
                stack.callback(cuda.Context.synchronize)
        except (BackendError, cuda.Error) as error:
            _log.warning("not everything of the trunk on the GPU was released: %s", error)

    def _bound(self, trt: Any, plan: bytes) -> Call:
        self._runtime = start_runtime(trt)
        memory = {"image": self._image, "features": self._features}
        addresses = {port: mirror.address for port, mirror in memory.items()}
        engine = Engine(trt, self._runtime, TRUNK, plan)
        return engine.bind(addresses, {port: mirror.host.shape for port, mirror in memory.items()})

    def _enqueue(self) -> None:
        self._image.upload(self._stream)
        self._call.enqueue(self._stream)
        self._features.download(self._stream)

    def _drop(self) -> None:
        """Drop engine, stream and event, while their context is current."""
        for name in ("_call", "_runtime", "_stream", "_done", "_image", "_features"):
            self.__dict__.pop(name, None)
