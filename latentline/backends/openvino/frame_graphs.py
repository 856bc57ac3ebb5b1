"""A graph that sees whole frames: compiled for each size of frame, on all threads together."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from latentline.backends.openvino.request_pool import Run, runner
from latentline.backends.openvino.silence import without_telemetry

with without_telemetry():
    import openvino as ov

Float = npt.NDArray[np.float32]
KEPT = 4  # sizes of frames, whose compiled graphs are kept


class FrameGraphs:
    """Runs `graph`, whose input image [-1, C, -1, -1] may have any size. One thread at a time may use it.

    half  compute in bfloat16
    """

    def __init__(self, graph: Any, threads: int, half: bool = False) -> None:
        self._graph, self._threads, self._half = graph, threads, half
        self._compiled: dict[tuple[int, ...], Run] = {}

    def run(self, image: Float) -> dict[str, Float]:
        """All outputs for images [N, C, H, W], by name. A size is compiled when it is first used, in 0.1 s or so."""
        run = self._compiled.pop(image.shape, None)
        if run is None:
            while len(self._compiled) >= KEPT:
                del self._compiled[next(iter(self._compiled))]
            run = self._compile(image.shape)
        self._compiled[image.shape] = run
        return run({"image": image})

    def _compile(self, shape: tuple[int, ...]) -> Run:
        fixed = self._graph.clone()  # fixed shapes run up to twice as fast as dynamic ones
        fixed.reshape({"image": list(shape)})
        config = {
            "INFERENCE_PRECISION_HINT": "bf16" if self._half else "f32",
            "INFERENCE_NUM_THREADS": self._threads,
            "NUM_STREAMS": 1,
        }
        return runner(ov.Core().compile_model(fixed, "CPU", config))
