"""A loop inside a captured graph: its body is recorded once, and the driver runs it while a kernel says so.

This is a conditional node (CUDA Driver API, "Graph Management"). The body is captured on a stream of its own, because
the stream around it is being captured, too. A body may hold kernels, copies and fills of device memory, all of one
context, and nothing of the host.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import pycuda.driver as cuda

from latentline.backends.tensorrt.gpu import tile_launches
from latentline.backends.tensorrt.gpu.capture import THREAD_LOCAL, CaptureInvalidatedError, GraphDriver, Handle
from latentline.errors import BackendError

FIRST_VERSION = (12, 4)  # of CUDA
_CONDITIONAL = 13  # CU_GRAPH_NODE_TYPE_CONDITIONAL
_WHILE = 1  # CU_GRAPH_COND_TYPE_WHILE
_ASSIGN_DEFAULT = 1  # CU_GRAPH_COND_ASSIGN_DEFAULT: the condition is 1 at every launch
_SET = 1  # CU_STREAM_SET_CAPTURE_DEPENDENCIES
_NON_BLOCKING = 1  # CU_STREAM_NON_BLOCKING


class _Parameters(ctypes.Structure):
    """CUgraphNodeParams of a conditional node."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("reserved0", ctypes.c_int * 3),
        ("handle", ctypes.c_ulonglong),
        ("kind", ctypes.c_int),
        ("size", ctypes.c_uint),
        ("bodies", ctypes.POINTER(Handle)),
        ("context", Handle),
        ("unused", ctypes.c_longlong * 25),  # the other kinds of nodes need more room
        ("reserved2", ctypes.c_longlong),
    )


_SIGNATURES: dict[str, list[Any]] = {
    "cuDriverGetVersion": [ctypes.POINTER(ctypes.c_int)],
    "cuStreamGetCaptureInfo_v3": [
        Handle,
        ctypes.POINTER(ctypes.c_int),
        ctypes.POINTER(ctypes.c_ulonglong),
        ctypes.POINTER(Handle),
        ctypes.POINTER(Handle),
        ctypes.POINTER(Handle),
        ctypes.POINTER(ctypes.c_size_t),
    ],
    "cuGraphConditionalHandleCreate": [
        ctypes.POINTER(ctypes.c_ulonglong),
        Handle,
        Handle,
        ctypes.c_uint,
        ctypes.c_uint,
    ],
    "cuGraphAddNode_v2": [
        ctypes.POINTER(Handle),
        Handle,
        Handle,
        Handle,
        ctypes.c_size_t,
        ctypes.POINTER(_Parameters),
    ],
    "cuStreamUpdateCaptureDependencies_v2": [
        Handle,
        ctypes.POINTER(Handle),
        Handle,
        ctypes.c_size_t,
        ctypes.c_uint,
    ],
    "cuStreamBeginCaptureToGraph": [Handle, Handle, Handle, Handle, ctypes.c_size_t, ctypes.c_int],
}


class WhileLoop:
    """Records loops into graphs that are being captured. Raises BackendError, with the reason, where it cannot.

    kernel  gives loop.cu, compiled for this GPU; it is asked only where the driver has loops
    stream  the bodies are captured on it; nothing runs on it but warm-ups
    nodes   operations in the bodies that were recorded since somebody set this to 0
    """

    def __init__(self, driver: GraphDriver, kernel: Callable[[], bytes]) -> None:
        self._driver = driver
        self._check_version()
        driver.declare(_SIGNATURES)
        try:
            self._module = cuda.module_from_buffer(kernel())
            self._function = self._module.get_function("next_iteration")
        except (cuda.Error, UnicodeDecodeError) as error:  # as with the other kernels, pycuda may read no log
            raise BackendError(f"the driver cannot load the kernel that ends an iteration ({error})") from None
        self.stream = cuda.Stream(_NON_BLOCKING)
        self.nodes = 0

    def repeat(
        self, stream: cuda.Stream, enqueue: Callable[[cuda.Stream], None], iteration: int, iterations: int
    ) -> None:
        """Record a loop on `stream`, which is being captured: what `enqueue` puts on the stream that it is given.

        The loop counts `iteration`, the address of an int32 that is 0 before it, up to `iterations` > 0. Raises what
        `enqueue` raises, and BackendError.
        """
        condition, body = self._add_node(Handle(stream.handle))
        handle = Handle(self.stream.handle)
        self._driver.call("cuStreamBeginCaptureToGraph", handle, body, None, None, 0, THREAD_LOCAL)
        try:
            enqueue(self.stream)
            launch = tile_launches.next_iteration(iteration, iterations, condition)
            self._function(*launch.arguments, grid=launch.grid, block=launch.block, stream=self.stream)
        except BaseException as error:
            broken = self._driver.abandon(handle, owned=True)
            if broken and isinstance(error, BackendError | cuda.Error):
                raise CaptureInvalidatedError(f"the capture of a loop was invalidated: {error}") from None
            raise
        self._driver.call("cuStreamEndCapture", handle, ctypes.byref(Handle()))
        self.nodes += self._driver.count_nodes(body)

    def _add_node(self, stream: Handle) -> tuple[int, Handle]:
        """Add a loop to the graph that `stream` is captured into. Returns its condition, and its body's graph."""
        status, number, condition = ctypes.c_int(), ctypes.c_ulonglong(), ctypes.c_ulonglong()
        graph, after, edges, count, node = Handle(), Handle(), Handle(), ctypes.c_size_t(), Handle()
        outputs = (status, number, graph, after, edges, count)
        self._driver.call("cuStreamGetCaptureInfo_v3", stream, *map(ctypes.byref, outputs))
        context = Handle(cuda.Context.get_current().handle)
        create = ctypes.byref(condition), graph, context, 1, _ASSIGN_DEFAULT
        self._driver.call("cuGraphConditionalHandleCreate", *create)
        given = _Parameters(type=_CONDITIONAL, handle=condition.value, kind=_WHILE, size=1, context=context)
        add = ctypes.byref(node), graph, after, edges, count, ctypes.byref(given)
        self._driver.call("cuGraphAddNode_v2", *add)
        self._driver.call("cuStreamUpdateCaptureDependencies_v2", stream, ctypes.byref(node), None, 1, _SET)
        return condition.value, Handle(given.bodies[0])

    def _check_version(self) -> None:
        version = cuda.get_driver_version()
        found = version // 1000, version % 1000 // 10
        if found < FIRST_VERSION:
            have, need = (".".join(map(str, numbers)) for numbers in (found, FIRST_VERSION))
            raise BackendError(f"this driver is of CUDA {have}, and a loop in a graph needs {need}: update the driver")
