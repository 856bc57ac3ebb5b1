"""How a captured search repeats its step: as one loop of the graph, or unrolled where that cannot be."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

import pycuda.driver as cuda

from latentline.backends.tensorrt.gpu.capture import Graph, GraphDriver
from latentline.backends.tensorrt.gpu.while_loop import WhileLoop
from latentline.errors import BackendError, EngineError

_log = logging.getLogger(__name__)


class Repetition:
    """Captures searches with a loop while the driver and TensorRT let it, and unrolled from then on.

    kernel  gives loop.cu, compiled; None: unroll
    loop    records loops; None: searches are unrolled, and `unrolled` says why

    The reason is logged once, as a warning unless somebody asked for it.
    """

    def __init__(self, driver: GraphDriver, kernel: Callable[[], bytes] | None) -> None:
        self._driver = driver
        self.loop: WhileLoop | None = None
        self.unrolled: str | None = None
        if kernel is None:
            self.unrolled = "asked for"
            return
        try:
            self.loop = WhileLoop(driver, kernel)
        except (BackendError, EngineError, cuda.Error) as error:
            self._give_up(error)

    def capture(self, stream: cuda.Stream, enqueue: Callable[[WhileLoop | None], None]) -> Graph:
        """Capture what `enqueue` puts on `stream`; it is given the loop to use, or None. Raises as `enqueue` does.

        Whatever goes wrong with a loop is tried without: TensorRT may refuse to run inside one, or the driver what
        TensorRT puts there.
        """
        if self.loop is not None:
            try:
                return self._captured(self.loop, stream, enqueue)
            except (BackendError, cuda.Error) as error:
                graph = self._driver.capture_retrying(stream, partial(enqueue, None))
                self._give_up(error)
                return graph
        return self._driver.capture_retrying(stream, partial(enqueue, None))

    def _captured(self, loop: WhileLoop, stream: cuda.Stream, enqueue: Callable[[WhileLoop | None], None]) -> Graph:
        def record() -> None:
            loop.nodes = 0  # a capture may be tried again
            enqueue(loop)

        graph = self._driver.capture_retrying(stream, record)
        graph.nodes += loop.nodes
        return graph

    def _give_up(self, error: Exception) -> None:
        self.loop, self.unrolled = None, str(error)
        _log.warning(
            "the search on the GPU stands in its graph iteration by iteration, which takes memory and a longer first "
            "frame: %s",
            error,
        )
