"""Infer requests that share the threads: one set of them for each number of workers and each batch."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt

from latentline.backends.openvino.silence import without_telemetry
from latentline.base.counted import counted
from latentline.errors import BackendError

with without_telemetry():
    import openvino as ov

Float = npt.NDArray[np.float32]
Run = Callable[[Mapping[str, Float]], dict[str, Float]]
Worker = Mapping[str, Run]  # an infer request of each graph: arrays by name in, copies of the outputs by name out
KEPT = 4  # sets of requests, of a first look and of a search by turns; each holds its compiled graphs


class RequestPool:
    """Runs tasks on infer requests, `threads` at a time. One thread at a time may use it.

    half  graphs that are computed in bfloat16; the others in float32

    All threads start now. Raises BackendError when one cannot be started. Later that would be worse: the pool keeps the
    job of a thread that it cannot start, and does it at some other time, with a request that then has other work.
    """

    def __init__(self, graphs: Mapping[str, Any], threads: int, half: Collection[str] = ()) -> None:
        self._graphs, self._threads, self._half = dict(graphs), threads, frozenset(half)
        self._sets: dict[tuple[int, int], dict[str, list[Run]]] = {}
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="search")
        self._start(threads if threads > 1 else 0)

    def map(
        self, task: Callable[[Worker, Any], Any], jobs: list[Any], graphs: Iterable[str], batch: int = 1
    ) -> list[Any]:
        """The result of `task(worker, job)` for each job, in order. Job i runs on worker i modulo their number.

        graphs  that the task may run
        batch   rows of every input of them
        """
        workers = self._workers(min(len(jobs), self._threads), batch, graphs)
        if len(workers) == 1:
            return [task(workers[0], job) for job in jobs]
        lanes = [
            self._pool.submit(lambda worker, mine: [task(worker, job) for job in mine], worker, jobs[i :: len(workers)])
            for i, worker in enumerate(workers)
        ]
        done = [lane.result() for lane in lanes]
        return [done[i % len(workers)][i // len(workers)] for i in range(len(jobs))]

    def close(self) -> None:
        """Release graphs and threads."""
        self._pool.shutdown()
        self._sets.clear()
        self._graphs.clear()

    def _start(self, threads: int) -> None:
        together = threading.Barrier(max(1, threads))  # so that no thread does the job of another
        try:
            for started in [self._pool.submit(together.wait) for _ in range(threads)]:
                started.result()
        except RuntimeError as error:
            together.abort()
            self._pool.shutdown()
            raise BackendError(f"{counted(threads, 'thread')} for the search cannot be started ({error})") from None

    def _workers(self, count: int, batch: int, graphs: Iterable[str]) -> list[Worker]:
        """`count` workers that share the threads. A graph is compiled at its first use; the last sets are kept."""
        compiled = self._sets.pop((count, batch), {})
        while len(self._sets) >= KEPT:
            del self._sets[next(iter(self._sets))]
        self._sets[count, batch] = compiled
        config = {
            "INFERENCE_NUM_THREADS": self._threads,
            "NUM_STREAMS": count,
        }
        for name in graphs:
            if name not in compiled:
                precision = "bf16" if name in self._half else "f32"  # without a hint some CPUs compute in bf16
                hints = {**config, "INFERENCE_PRECISION_HINT": precision}
                model = ov.Core().compile_model(_with_batch(self._graphs[name], batch), "CPU", hints)
                compiled[name] = [runner(model) for _ in range(count)]
        return [{name: compiled[name][i] for name in graphs} for i in range(count)]


def has_bfloat16() -> bool:
    """Whether this processor computes in bfloat16."""
    return "BF16" in ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def _with_batch(graph: Any, batch: int) -> Any:
    """A copy for this batch: fixed shapes run up to twice as fast as a dynamic batch."""
    fixed = graph.clone()
    fixed.reshape({port.any_name: [batch, *list(port.partial_shape)[1:]] for port in fixed.inputs})
    return fixed


def runner(model: Any) -> Run:
    """A function that runs a request of `model`. The request has already run once on the calling thread.

    That first run is needed: OpenVINO 2026.4.1 deadlocks when its first two conversions of NumPy arrays come from two
    threads at once (pybind11's first look-up of NumPy; 4 hangs in 12 fresh processes).
    """
    request = model.create_infer_request()
    request.infer({port.any_name: np.zeros(list(port.shape), np.float32) for port in model.inputs}, share_inputs=True)

    def run(inputs: Mapping[str, Float]) -> dict[str, Float]:
        results = request.infer(dict(inputs), share_inputs=True)
        return {port.any_name: np.array(array) for port, array in results.items()}  # the request's buffers are reused

    return run
