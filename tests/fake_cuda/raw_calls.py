"""Driver calls that pycuda lacks, through ctypes, with the driver's answer by name."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

GLOBAL, THREAD_LOCAL, RELAXED = 0, 1, 2
_HOST_FUNCTION = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class RawCalls:
    """Capture, graphs and host functions. Handles are integers; an answer is "SUCCESS" or the name of an error."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL("libcuda.so.1")
        self._callbacks: list[Any] = []

    def __call__(self, name: str, *arguments: Any) -> str:
        """Call a function by name. Integers are passed with 64 bits, like handles and addresses."""
        wide = [ctypes.c_size_t(value) if isinstance(value, int) else value for value in arguments]
        code = getattr(self._library, name)(*wide)
        text = ctypes.c_char_p()
        self._library.cuGetErrorName(code, ctypes.byref(text))
        return (text.value or b"?").decode().removeprefix("CUDA_").removeprefix("ERROR_")

    def begin(self, stream: int, mode: int = THREAD_LOCAL) -> str:
        """Begin a capture."""
        return self("cuStreamBeginCapture_v2", stream, mode)

    def end(self, stream: int) -> tuple[str, int]:
        """End a capture. Returns the answer and the graph, 0 without one."""
        graph = ctypes.c_size_t(0)
        return self("cuStreamEndCapture", stream, ctypes.byref(graph)), graph.value

    def instantiate(self, graph: int) -> int:
        """Make an executable graph and destroy the graph."""
        executable = ctypes.c_size_t(0)
        assert self("cuGraphInstantiateWithFlags", ctypes.byref(executable), graph, 0) == "SUCCESS"
        assert self("cuGraphDestroy", graph) == "SUCCESS"
        return executable.value

    def capture(self, stream: int, work: Callable[[], object]) -> int:
        """Capture what `work` enqueues, as an executable graph."""
        assert self.begin(stream) == "SUCCESS"
        work()
        answer, graph = self.end(stream)
        assert answer == "SUCCESS"
        return self.instantiate(graph)

    def host_function(self, stream: int, function: Callable[[], object]) -> str:
        """Run a Python function in stream order."""
        callback = _HOST_FUNCTION(lambda _: function() and None)
        self._callbacks.append(callback)
        return self("cuLaunchHostFunc", stream, callback, None)
