"""CUDA graphs on a pycuda stream.

pycuda 2026.1 can neither capture a stream nor launch a graph, so this file calls the driver through ctypes (CUDA
Driver API, "Stream Management" and "Graph Management"). The streams are pycuda's.
"""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Callable
from typing import Any

import pycuda.driver as cuda

from latentline.errors import BackendError

_THREAD_LOCAL = 1  # CU_STREAM_CAPTURE_MODE_THREAD_LOCAL: the global mode would break other threads' CUDA calls
_INVALIDATED = 901  # CUDA_ERROR_STREAM_CAPTURE_INVALIDATED

CAPTURE_TRIES = 3

_Handle = ctypes.c_void_p
_SIGNATURES: dict[str, list[Any]] = {
    "cuStreamBeginCapture_v2": [_Handle, ctypes.c_int],
    "cuStreamEndCapture": [_Handle, ctypes.POINTER(_Handle)],
    "cuGraphInstantiateWithFlags": [ctypes.POINTER(_Handle), _Handle, ctypes.c_ulonglong],
    "cuGraphGetNodes": [_Handle, ctypes.c_void_p, ctypes.POINTER(ctypes.c_size_t)],
    "cuGraphUpload": [_Handle, _Handle],
    "cuGraphLaunch": [_Handle, _Handle],
    "cuGraphDestroy": [_Handle],
    "cuGraphExecDestroy": [_Handle],
    "cuGetErrorName": [ctypes.c_int, ctypes.POINTER(ctypes.c_char_p)],
    "cuGetErrorString": [ctypes.c_int, ctypes.POINTER(ctypes.c_char_p)],
}


class CaptureInvalidatedError(BackendError):
    """A CUDA call broke the capture. When another thread made that call, a second try may succeed."""


class GraphDriver:
    """The driver's functions for graphs. Raises BackendError when there is no driver, or when it lacks one of them."""

    def __init__(self) -> None:
        try:
            self._library = ctypes.CDLL("libcuda.so.1")
            for name, arguments in _SIGNATURES.items():
                function = getattr(self._library, name)
                function.argtypes, function.restype = arguments, ctypes.c_int
        except (OSError, AttributeError) as error:
            raise BackendError(f"the NVIDIA driver cannot capture CUDA graphs here ({error}); update it") from None

    def call(self, name: str, *arguments: Any) -> None:
        """Call `name`. Raises BackendError with the name and the text of the driver's error."""
        code = getattr(self._library, name)(*arguments)
        if code:
            kind = CaptureInvalidatedError if code == _INVALIDATED else BackendError
            raise kind(f"{name} failed: {self._text('cuGetErrorName', code)}, {self._text('cuGetErrorString', code)}")

    def capture(self, stream: cuda.Stream, enqueue: Callable[[], None]) -> Graph:
        """Record the work that `enqueue` puts on `stream`, as a graph that may be launched any number of times.

        The work does not run now. The graph keeps the addresses and scalars of this moment. Raises what `enqueue`
        raises, BackendError, and CaptureInvalidatedError when a call of this thread or another broke the capture.
        """
        handle, graph = _Handle(stream.handle), _Handle()
        collecting = gc.isenabled()
        gc.disable()  # a finaliser that frees device memory would end the capture
        try:
            self.call("cuStreamBeginCapture_v2", handle, _THREAD_LOCAL)
            try:
                enqueue()
            except (BackendError, cuda.Error) as error:
                if self._abandon(handle) == _INVALIDATED:  # after the call that broke it, all others fail, too
                    raise CaptureInvalidatedError(f"a capture was invalidated: {error}") from None
                raise
            except BaseException:
                self._abandon(handle)
                raise
            self.call("cuStreamEndCapture", handle, ctypes.byref(graph))
        finally:
            if collecting:
                gc.enable()
        try:
            return Graph(self, graph)
        finally:
            self.call("cuGraphDestroy", graph)

    def capture_retrying(self, stream: cuda.Stream, enqueue: Callable[[], None]) -> Graph:
        """As `capture`, up to three times where a call of another thread breaks it."""
        for _ in range(CAPTURE_TRIES - 1):
            try:
                return self.capture(stream, enqueue)
            except CaptureInvalidatedError:
                continue
        return self.capture(stream, enqueue)

    def _abandon(self, handle: _Handle) -> int:
        """End a capture that failed, and return the driver's error code."""
        graph = _Handle()
        code = int(self._library.cuStreamEndCapture(handle, ctypes.byref(graph)))
        if graph:
            self._library.cuGraphDestroy(graph)
        return code

    def _text(self, function: str, code: int) -> str:
        text = ctypes.c_char_p()
        getattr(self._library, function)(code, ctypes.byref(text))
        return (text.value or str(code).encode()).decode()


class Graph:
    """An instantiated graph. nodes: the number of operations that one launch runs."""

    def __init__(self, driver: GraphDriver, graph: _Handle) -> None:
        self._driver = driver
        count = ctypes.c_size_t()
        driver.call("cuGraphGetNodes", graph, None, ctypes.byref(count))
        self.nodes = count.value
        self._exec: _Handle | None = _Handle()
        driver.call("cuGraphInstantiateWithFlags", ctypes.byref(self._exec), graph, 0)

    def upload(self, stream: cuda.Stream) -> None:
        """Copy the graph to the device before its first launch."""
        self._driver.call("cuGraphUpload", self._exec, _Handle(stream.handle))

    def launch(self, stream: cuda.Stream) -> None:
        """Enqueue the whole graph with one call."""
        self._driver.call("cuGraphLaunch", self._exec, _Handle(stream.handle))

    def close(self) -> None:
        """Release the graph. Closing twice does nothing."""
        if self._exec is not None:
            handle, self._exec = self._exec, None
            self._driver.call("cuGraphExecDestroy", handle)
