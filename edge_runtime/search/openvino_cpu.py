"""The CPU backend: OpenVINO, float32, Adam in NumPy.

A tile is searched from first to last iteration by one infer request of batch one, and as many tiles at a time as there
are threads. So tiles cannot influence one another, and none waits for another between iterations.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino as ov

from edge_runtime.manifest import ModelSpec
from edge_runtime.model_package import DISCRIMINATOR, ENCODER, GENERATOR, SEARCH_STEP, SearchModel
from edge_runtime.search.adam import adam_search, initial_latent
from edge_runtime.search.selftest import check_selftest
from latentline.errors import PackageError
from latentline.preprocessing import to_model_range
from latentline.searcher import SearchResult

Float = npt.NDArray[np.float32]
UInt8 = npt.NDArray[np.uint8]
Run = Callable[[Mapping[str, Float]], dict[str, Float]]


@dataclass(frozen=True)
class _Worker:
    """One infer request of each graph: arrays by name in, copies of the outputs by name out."""

    generator: Run
    discriminator: Run
    step: Run
    encoder: Run | None


class CpuSearcher:
    """`Searcher` on the CPU. `threads` None: all cores that this process may use.

    Opening compiles the graphs and runs the package's self-test. Raises PackageError when a graph cannot be used,
    VerificationError when it computes something else than its oracle. Used by one thread at a time.
    """

    name = "cpu"

    def __init__(self, model: SearchModel, threads: int | None = None) -> None:
        self._spec = model.spec
        self._graphs = _read_graphs(model)
        self._threads = threads or _usable_cores()
        self._workers: dict[int, list[_Worker]] = {}
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="search")
        self._selftest = model.selftest
        self.self_test()

    def search(self, tiles: UInt8) -> SearchResult:
        """Search all tiles, uint8 [N, H, W, C], each from its first latent. Raises ValueError for another shape."""
        size = self._spec.tile_size
        if tiles.ndim != 4 or tiles.shape[1:] != (size, size, self._spec.channels) or not len(tiles):
            raise ValueError(f"tiles must be uint8 [N, {size}, {size}, {self._spec.channels}], not {tiles.shape}")
        x = to_model_range(tiles)
        results = self._map(self._search_one, [x[i : i + 1] for i in range(len(x))])
        return SearchResult(*(np.concatenate(parts) for parts in zip(*results, strict=True)))

    def self_test(self) -> float:
        """Largest relative error on the package's self-test. Raises VerificationError when it is too large."""
        return check_selftest(self.step, self._selftest)

    def step(self, z: Float, x: Float, fx: Float) -> tuple[Float, Float]:
        """One search step of each row: loss [N] and grad_z [N, L]."""
        results = self._rows(lambda worker, row: worker.step(row), {"z": z, "x": x, "fx": fx})
        return results["loss"], results["grad_z"]

    def generate(self, z: Float) -> Float:
        """G(z): [N, L] -> [N, C, H, W]."""
        return self._rows(lambda worker, row: worker.generator(row), {"z": z})["image"]

    def discriminate(self, x: Float) -> tuple[Float, Float]:
        """Logit of D(x) [N] and features f(x) [N, maps, 4, 4] of images [N, C, H, W]."""
        results = self._rows(lambda worker, row: worker.discriminator(row), {"image": x})
        return results["logit"], results["features"]

    def encode(self, x: Float) -> Float:
        """First z [N, L] of images [N, C, H, W]."""
        return np.concatenate(self._map(self._start, [x[i : i + 1] for i in range(len(x))]))

    def close(self) -> None:
        """Release graphs and threads."""
        self._pool.shutdown()
        self._workers.clear()
        self._graphs.clear()

    def _start(self, worker: _Worker, x: Float) -> Float:
        """The first z [1, L] of a tile."""
        if worker.encoder is not None:
            return worker.encoder({"image": x})["z"]
        return initial_latent(self._spec.search.seed, 1, self._spec.latent_size)

    def _search_one(self, worker: _Worker, x: Float) -> tuple[Float, ...]:
        """The fields of a `SearchResult` for one tile x [1, C, H, W]."""
        search = self._spec.search
        frame = worker.discriminator({"image": x})
        feeds = {"x": x, "fx": frame["features"]}
        z = adam_search(
            lambda z: worker.step({"z": z, **feeds})["grad_z"],
            self._start(worker, x),
            search.iterations,
            search.learning_rate,
        )
        reconstruction = worker.generator({"z": z})["image"]
        seen = worker.discriminator({"image": reconstruction})
        feature_residual = np.abs(frame["features"] - seen["features"]).sum(axis=(1, 2, 3))
        loss = worker.step({"z": z, **feeds})["loss"]
        return feature_residual, seen["logit"], frame["logit"], loss, z, reconstruction

    def _rows(self, task: Callable[[_Worker, Any], dict[str, Float]], inputs: Mapping[str, Float]) -> dict[str, Float]:
        """`task` on every row of the inputs, its outputs put together again."""
        count = len(next(iter(inputs.values())))
        rows = [{name: array[i : i + 1] for name, array in inputs.items()} for i in range(count)]
        results = self._map(task, rows)
        return {name: np.concatenate([r[name] for r in results]) for name in results[0]}

    def _map(self, task: Callable[[_Worker, Any], Any], jobs: list[Any]) -> list[Any]:
        """Results of `task(worker, job)` in the order of the jobs; job i runs on worker i modulo their number."""
        workers = self._compiled(min(len(jobs), self._threads))
        if len(workers) == 1:
            return [task(workers[0], job) for job in jobs]
        lanes = [
            self._pool.submit(lambda worker, mine: [task(worker, job) for job in mine], worker, jobs[i :: len(workers)])
            for i, worker in enumerate(workers)
        ]
        done = [lane.result() for lane in lanes]
        return [done[i % len(workers)][i // len(workers)] for i in range(len(jobs))]

    def _compiled(self, count: int) -> list[_Worker]:
        """`count` workers that share the threads; compiled at first use, the last two sets are kept."""
        if count not in self._workers:
            config = {
                "INFERENCE_PRECISION_HINT": "f32",  # without it some CPUs compute in bf16
                "INFERENCE_NUM_THREADS": self._threads,
                "NUM_STREAMS": count,
            }
            compiled = {name: ov.Core().compile_model(graph, "CPU", config) for name, graph in self._graphs.items()}
            while len(self._workers) > 1:
                del self._workers[next(iter(self._workers))]
            self._workers[count] = [
                _Worker(
                    generator=_runner(compiled[GENERATOR]),
                    discriminator=_runner(compiled[DISCRIMINATOR]),
                    step=_runner(compiled[SEARCH_STEP]),
                    encoder=_runner(compiled[ENCODER]) if ENCODER in compiled else None,
                )
                for _ in range(count)
            ]
        return self._workers[count]


def _usable_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _runner(model: Any) -> Run:
    """A request that has run once, on the calling thread.

    It must: when the first two conversions of NumPy arrays in OpenVINO 2026.4.1 come from two threads at once, they
    wait for each other for ever (pybind11's first look-up of NumPy; 4 hangs in 12 fresh processes).
    """
    request = model.create_infer_request()
    request.infer({port.any_name: np.zeros(list(port.shape), np.float32) for port in model.inputs}, share_inputs=True)

    def run(inputs: Mapping[str, Float]) -> dict[str, Float]:
        results = request.infer(dict(inputs), share_inputs=True)
        return {port.any_name: np.array(array) for port, array in results.items()}  # the request's buffers are reused

    return run


def _read_graphs(model: SearchModel) -> dict[str, Any]:
    """The graphs for one tile, their inputs and outputs compared with the manifest. Raises PackageError."""
    graphs = {}
    for name, (inputs, outputs) in _ports(model.spec).items():
        try:
            graph = ov.Core().read_model(model.graphs[name])
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1]
            raise PackageError(f"{name}: not a graph that this station can run ({reason}); export it again") from None
        for kind, ports, expected in (("input", graph.inputs, inputs), ("output", graph.outputs, outputs)):
            found = {port.any_name: port.partial_shape for port in ports}
            wanted = {port: ov.PartialShape([-1, *shape]) for port, shape in expected.items()}
            if found != wanted:
                raise PackageError(
                    f"{name}: {kind}s are {_described(found)}, and the manifest needs {_described(wanted)}; "
                    "export the package again"
                )
        graph.reshape({port: [1, *shape] for port, shape in inputs.items()})
        graphs[name] = graph
    return graphs


def _ports(spec: ModelSpec) -> dict[str, tuple[dict[str, tuple[int, ...]], dict[str, tuple[int, ...]]]]:
    """Shapes without the batch of every graph's inputs and outputs."""
    image, z = (spec.channels, spec.tile_size, spec.tile_size), (spec.latent_size,)
    ports: dict[str, tuple[dict[str, tuple[int, ...]], dict[str, tuple[int, ...]]]] = {
        GENERATOR: ({"z": z}, {"image": image}),
        DISCRIMINATOR: ({"image": image}, {"logit": (), "features": spec.feature_shape}),
        SEARCH_STEP: ({"z": z, "x": image, "fx": spec.feature_shape}, {"loss": (), "grad_z": z}),
    }
    if spec.search.init == "encoder":
        ports[ENCODER] = {"image": image}, {"z": z}
    return ports


def _described(ports: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {shape}" for name, shape in sorted(ports.items()))
