"""CUDA graphs on a pycuda stream.

pycuda 2026.1 can neither capture a stream nor launch a graph, so this file calls the driver through ctypes (CUDA
Driver API, "Stream Management" and "Graph Management"). The streams are pycuda's.
"""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Callable, Mapping
from typing import Any

import pycuda.driver as cuda

from latentline.errors import BackendError

THREAD_LOCAL = 1  # CU_STREAM_CAPTURE_MODETHREAD_LOCAL: the global mode would break other threads' CUDA calls
_INVALIDATED = 901  # CUDA_ERROR_STREAM_CAPTURE_INVALIDATED

CAPTURE_TRIES = 3

Handle = ctypes.c_void_p
_SIGNATURES: dict[str, list[Any]] = {
    "cuStreamBeginCapture_v2": [Handle, ctypes.c_int],
    "cuStreamEndCapture": [Handle, ctypes.POINTER(Handle)],
    "cuGraphInstantiateWithFlags": [ctypes.POINTER(Handle), Handle, ctypes.c_ulonglong],
    "cuGraphGetNodes": [Handle, ctypes.c_void_p, ctypes.POINTER(ctypes.c_size_t)],
    "cuGraphUpload": [Handle, Handle],
    "cuGraphLaunch": [Handle, Handle],
    "cuGraphDestroy": [Handle],
    "cuGraphExecDestroy": [Handle],
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
        except OSError as error:
            raise BackendError(f"the NVIDIA driver cannot be loaded ({error}); install it again") from None
        self.declare(_SIGNATURES)

    def declare(self, signatures: Mapping[str, list[Any]]) -> None:
        """Make further functions known, by name with the types of their arguments. Raises BackendError if one lacks."""
        try:
            for name, arguments in signatures.items():
                function = getattr(self._library, name)
                function.argtypes, function.restype = arguments, ctypes.c_int
        except AttributeError as error:
            raise BackendError(f"the NVIDIA driver lacks a function for CUDA graphs ({error}); update it") from None

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
        handle, graph = Handle(stream.handle), Handle()
        collecting = gc.isenabled()
        gc.disable()  # a finaliser that frees device memory would end the capture
        try:
            self.call("cuStreamBeginCapture_v2", handle, THREAD_LOCAL)
            try:
                enqueue()
            except (BackendError, cuda.Error) as error:
                if self.abandon(handle):  # after the call that broke it, all others fail, too
                    raise CaptureInvalidatedError(f"a capture was invalidated: {error}") from None
                raise
            except BaseException:
                self.abandon(handle)
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

    def abandon(self, handle: Handle, *, owned: bool = False) -> bool:
        """End a capture that failed, and say whether it was invalidated. owned: its graph belongs to another graph."""
        graph = Handle()
        code = int(self._library.cuStreamEndCapture(handle, ctypes.byref(graph)))
        if graph and not owned:
            self._library.cuGraphDestroy(graph)
        return code == _INVALIDATED

    def count_nodes(self, graph: Handle) -> int:
        """The number of operations in a graph; one for a loop."""
        count = ctypes.c_size_t()
        self.call("cuGraphGetNodes", graph, None, ctypes.byref(count))
        return count.value

    def _text(self, function: str, code: int) -> str:
        text = ctypes.c_char_p()
        getattr(self._library, function)(code, ctypes.byref(text))
        return (text.value or str(code).encode()).decode()


class Graph:
    """An instantiated graph. nodes: the number of operations in it; one for a loop."""

    def __init__(self, driver: GraphDriver, graph: Handle) -> None:
        self._driver = driver
        self.nodes = driver.count_nodes(graph)
        self._exec: Handle | None = Handle()
        driver.call("cuGraphInstantiateWithFlags", ctypes.byref(self._exec), graph, 0)

    def upload(self, stream: cuda.Stream) -> None:
        """Copy the graph to the device before its first launch."""
        self._driver.call("cuGraphUpload", self._exec, Handle(stream.handle))

    def launch(self, stream: cuda.Stream) -> None:
        """Enqueue the whole graph with one call."""
        self._driver.call("cuGraphLaunch", self._exec, Handle(stream.handle))

    def close(self) -> None:
        """Release the graph. Closing twice does nothing."""
        if self._exec is not None:
            handle, self._exec = self._exec, None
            self._driver.call("cuGraphExecDestroy", handle)
