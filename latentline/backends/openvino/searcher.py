"""The CPU backend: OpenVINO, float32, Adam in NumPy.

One infer request with batch 1 takes a tile through all its iterations, and there are as many requests as threads. So
tiles cannot influence one another, and none waits for another between iterations.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt

from latentline.backends.adam import adam_search, initial_latent
from latentline.backends.openvino.variational import kl, negative_log_likelihood, sample_noise
from latentline.backends.selftest_check import check_forward, check_selftest, forward_answers
from latentline.base.home import some_home
from latentline.errors import PackageError
from latentline.package.manifest import ModelSpec
from latentline.package.model_package import DISCRIMINATOR, ENCODER, GENERATOR, SEARCH_STEP, SearchModel
from latentline.package.selftest import ForwardTest
from latentline.search.searcher import SearchResult
from latentline.vision.preprocessing import to_model_range

with some_home():  # its telemetry asks for one
    import openvino as ov

Float = npt.NDArray[np.float32]
UInt8 = npt.NDArray[np.uint8]
Shapes = dict[str, tuple[int, ...]]
Run = Callable[[Mapping[str, Float]], dict[str, Float]]
_Worker = Mapping[str, Run]  # an infer request of each graph: arrays by name in, copies of the outputs by name out


class OpenVinoSearcher:
    """`Searcher` on the CPU. One thread at a time may use it.

    threads  CPU threads; None: all cores that this process may use
    Opening compiles the graphs and runs the package's self-test. Raises PackageError when a graph cannot be used, and
    VerificationError when it fails the self-test.
    """

    name = "openvino"

    def __init__(self, model: SearchModel, threads: int | None = None) -> None:
        self._spec = model.spec
        self._graphs = _read_graphs(model)
        self._threads = threads or usable_cores()
        self._workers: dict[int, list[_Worker]] = {}
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="search")
        self._selftest = model.selftest
        self._noise = sample_noise(model.spec.search.seed, model.spec.search.samples, model.spec.latent_size)
        self.self_test()

    def search(self, tiles: UInt8) -> SearchResult:
        """Search all tiles, uint8 [N, H, W, C], each from its first latent. Raises ValueError for another shape."""
        size = self._spec.tile_size
        if tiles.ndim != 4 or tiles.shape[1:] != (size, size, self._spec.channels) or not len(tiles):
            raise ValueError(f"tiles must be uint8 [N, {size}, {size}, {self._spec.channels}], not {tiles.shape}")
        x = to_model_range(tiles)
        results = self._map(self._search_one, _split(x))
        return SearchResult(**{name: np.concatenate([r[name] for r in results]) for name in results[0]})

    def with_iterations(self, iterations: int) -> OpenVinoSearcher:
        """This searcher with another number of search steps. Both share graphs and threads, so close one of them."""
        other = copy.copy(self)
        other._spec = self._spec.model_copy(
            update={"search": self._spec.search.model_copy(update={"iterations": iterations})}
        )
        return other

    def self_test(self) -> float:
        """Largest relative error on the package's self-test. Raises VerificationError when it is too large."""
        if isinstance(self._selftest, ForwardTest):
            return check_forward(self.forward, self._selftest)
        return check_selftest(self.step, self._selftest)

    def step(self, z: Float, x: Float, fx: Float) -> tuple[Float, Float]:
        """One search step of each row: loss [N] and grad_z [N, L]. Only for a model with a search step."""
        results = self.run(SEARCH_STEP, {"z": z, "x": x, "fx": fx})
        return results["loss"], results["grad_z"]

    def generate(self, z: Float) -> Float:
        """G(z): [N, L] -> [N, C, H, W]."""
        return self.run(GENERATOR, {"z": z})["image"]

    def discriminate(self, x: Float) -> tuple[Float, Float]:
        """Logit of D(x) [N] and features f(x) [N, maps, 4, 4] of images [N, C, H, W]. Only for a model with a D."""
        results = self.run(DISCRIMINATOR, {"image": x})
        return results["logit"], results["features"]

    def encode(self, x: Float) -> Float:
        """Where the search of images [N, C, H, W] starts: z [N, L]."""
        return np.concatenate(self._map(lambda worker, row: self._start(worker, row)["z"], _split(x)))

    def forward(self, x: Float) -> dict[str, Float]:
        """The answers of `ForwardTest` for images [N, C, H, W], from a model without a search step."""
        encoded = self.run(ENCODER, {"image": x})
        generated = self.run(GENERATOR, {"z": encoded["z"]})
        discriminated = self.run(DISCRIMINATOR, {"image": x}) if self._spec.has_discriminator else {}
        return forward_answers(encoded, generated, discriminated)

    def run(self, graph: str, inputs: Mapping[str, Float]) -> dict[str, Float]:
        """All outputs of one graph of the package, computed row by row, by name."""
        count = len(next(iter(inputs.values())))
        rows = [{name: array[i : i + 1] for name, array in inputs.items()} for i in range(count)]
        results = self._map(lambda worker, row: worker[graph](row), rows)
        return {name: np.concatenate([r[name] for r in results]) for name in results[0]}

    def close(self) -> None:
        """Release graphs and threads."""
        self._pool.shutdown()
        self._workers.clear()
        self._graphs.clear()

    def _start(self, worker: _Worker, x: Float) -> dict[str, Float]:
        """Where the search of a tile starts: z [1, L], for a VAE also its log_variance."""
        if ENCODER in worker:
            return worker[ENCODER]({"image": x})
        return {"z": initial_latent(self._spec.search.seed, 1, self._spec.latent_size)}

    def _search_one(self, worker: _Worker, x: Float) -> dict[str, Float]:
        """The fields of `SearchResult` that this model has, for one tile x [1, C, H, W]."""
        search = self._spec.search
        start = self._start(worker, x)
        z, of_tile = start["z"], {}
        if DISCRIMINATOR in worker:
            of_tile = worker[DISCRIMINATOR]({"image": x})
        if search.iterations:
            feeds = {"x": x, "fx": of_tile["features"]}
            z = adam_search(
                lambda z: worker[SEARCH_STEP]({"z": z, **feeds})["grad_z"], z, search.iterations, search.learning_rate
            )
        generated = worker[GENERATOR]({"z": z})
        found = {"z": z, "reconstruction": generated["image"]}
        if of_tile:
            of_reconstruction = worker[DISCRIMINATOR]({"image": generated["image"]})
            found |= self._discriminator_scores(of_tile, of_reconstruction, x, generated["image"])
        if self._spec.latent_variance:
            found["kl"] = kl(z, start["log_variance"])
        if self._spec.pixel_variance:
            found["negative_log_likelihood"] = self._negative_log_likelihood(worker, x, start, generated)
        return found

    def _discriminator_scores(
        self, of_tile: dict[str, Float], of_reconstruction: dict[str, Float], x: Float, image: Float
    ) -> dict[str, Float]:
        """The scores that need D's outputs for a tile x and for its reconstruction `image`."""
        feature_residual = np.abs(of_tile["features"] - of_reconstruction["features"]).sum(axis=(1, 2, 3))
        found = {
            "feature_residual": feature_residual,
            "logit_reconstruction": of_reconstruction["logit"],
            "logit_frame": of_tile["logit"],
        }
        if self._spec.has_search_step:  # L' needs no other run of a graph
            gamma, lam = self._spec.search.gamma, self._spec.search.lam
            residual = np.abs(x - image).sum(axis=(1, 2, 3))
            one_minus_d = 1 / (1 + np.exp(of_reconstruction["logit"].astype(np.float64)))
            loss = gamma * ((1 - lam) * residual + lam * feature_residual) + (1 - gamma) * one_minus_d
            found["loss"] = loss.astype(np.float32)
        if self._spec.patch_shape is not None:
            found["patch_logits"] = of_tile["patch_logits"]
        return found

    def _negative_log_likelihood(
        self, worker: _Worker, x: Float, start: dict[str, Float], generated: dict[str, Float]
    ) -> Float:
        """−log p(x | z) of each pixel, averaged over the samples of z; without samples, at the mean z."""
        if not len(self._noise):
            return negative_log_likelihood(x, generated["image"], generated["log_variance"])
        spread = np.exp(0.5 * start["log_variance"])
        total = np.zeros_like(x)
        for noise in self._noise:
            sample = worker[GENERATOR]({"z": start["z"] + spread * noise})
            total += negative_log_likelihood(x, sample["image"], sample["log_variance"])
        total /= len(self._noise)
        return total

    def _map(self, task: Callable[[_Worker, Any], Any], jobs: list[Any]) -> list[Any]:
        """The result of `task(worker, job)` for each job, in order. Job i runs on worker i modulo their number."""
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
        """`count` workers that share the threads. Each set is compiled at its first use; the last two sets are kept."""
        if count not in self._workers:
            config = {
                "INFERENCE_PRECISION_HINT": "f32",  # without it some CPUs compute in bf16
                "INFERENCE_NUM_THREADS": self._threads,
                "NUM_STREAMS": count,
            }
            compiled = {name: ov.Core().compile_model(graph, "CPU", config) for name, graph in self._graphs.items()}
            while len(self._workers) > 1:
                del self._workers[next(iter(self._workers))]
            self._workers[count] = [{name: _runner(model) for name, model in compiled.items()} for _ in range(count)]
        return self._workers[count]


def _split(x: Float) -> list[Float]:
    return [x[i : i + 1] for i in range(len(x))]


def usable_cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _runner(model: Any) -> Run:
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


def _read_graphs(model: SearchModel) -> dict[str, Any]:
    """The graphs, reshaped for one tile. Raises PackageError when inputs or outputs are not the manifest's."""
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


def _ports(spec: ModelSpec) -> dict[str, tuple[Shapes, Shapes]]:
    """Shapes of the inputs and outputs of each graph, without the batch."""
    image, z = (spec.channels, spec.tile_size, spec.tile_size), (spec.latent_size,)
    generated: Shapes = {"image": image, **({"log_variance": image} if spec.pixel_variance else {})}
    ports: dict[str, tuple[Shapes, Shapes]] = {GENERATOR: ({"z": z}, generated)}
    if spec.feature_shape is not None:
        patch_logits: Shapes = {} if spec.patch_shape is None else {"patch_logits": spec.patch_shape}
        ports[DISCRIMINATOR] = {"image": image}, {"logit": (), "features": spec.feature_shape, **patch_logits}
        if spec.has_search_step:
            ports[SEARCH_STEP] = {"z": z, "x": image, "fx": spec.feature_shape}, {"loss": (), "grad_z": z}
    if spec.search.init == "encoder":
        ports[ENCODER] = {"image": image}, {"z": z, **({"log_variance": z} if spec.latent_variance else {})}
    return ports


def _described(ports: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {shape}" for name, shape in sorted(ports.items()))
