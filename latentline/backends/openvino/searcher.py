"""The CPU backend: OpenVINO, float32 or bfloat16, Adam in NumPy.

One infer request with batch 1 takes a tile through all its iterations, and there are as many requests as threads. So
no tile waits for another between iterations. Without iterations a request takes several tiles at once, which costs a
fifth less. Either way tiles do not influence one another.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt

from latentline.backends.adam import adam_search, initial_latent
from latentline.backends.openvino.frame_graphs import FrameGraphs
from latentline.backends.openvino.graphs import FEATURES, read_graphs
from latentline.backends.openvino.request_pool import RequestPool, Worker, has_bfloat16
from latentline.backends.openvino.variational import kl, negative_log_likelihood, sample_noise
from latentline.backends.selftest_check import check_forward, check_selftest, forward_answers
from latentline.errors import PackageError
from latentline.package.model_package import (
    DISCRIMINATOR,
    ENCODER,
    FIRST_LOOK,
    GENERATOR,
    SEARCH_STEP,
    SearchModel,
)
from latentline.package.selftest import ForwardTest
from latentline.scoring.components import OF_RECONSTRUCTION
from latentline.search.first_look import FirstLook, look_frame
from latentline.search.searcher import SearchResult
from latentline.vision.preprocessing import to_model_range

Float = npt.NDArray[np.float32]
UInt8 = npt.NDArray[np.uint8]
MOST_ROWS = 16  # of a request without iterations; more gain nothing


class OpenVinoSearcher:
    """`Searcher` on the CPU. One thread at a time may use it.

    threads     CPU threads; None: all cores that this process may use
    components  raw components that will be looked at; None: all. Without d_reconstruction and loss D's verdict on G(ẑ),
                which may cost as much as all else, is left out, and so are these two
    half        compute all networks but the search step in bfloat16, where this processor has it: a third less time. A
                gradient would be wrong by some per cent
    Opening compiles the graphs and runs the package's self-test. Raises PackageError when a graph cannot be used, and
    VerificationError when it fails the self-test.
    """

    name = "openvino"

    def __init__(
        self,
        model: SearchModel,
        threads: int | None = None,
        components: Iterable[str] | None = None,
        half: bool = False,
    ) -> None:
        self._spec = model.spec
        self._lanes = threads or usable_cores()
        graphs = read_graphs(model)
        look = graphs.pop(FIRST_LOOK, None)
        self._present = frozenset(graphs)
        halves = half and has_bfloat16()
        halved = self._present - {SEARCH_STEP} if halves else frozenset[str]()
        self._looks = None if look is None else FrameGraphs(look, self._lanes, halves)
        self._workers = RequestPool(graphs, self._lanes, halved)
        self._needs_verdict = components is None or not OF_RECONSTRUCTION.isdisjoint(components)
        self._selftest = model.selftest
        self._noise = sample_noise(model.spec.search.seed, model.spec.search.samples, model.spec.latent_size)
        self.self_test()

    def search(self, tiles: UInt8) -> SearchResult:
        """Search all tiles, uint8 [N, H, W, C], each from its first latent. Raises ValueError for another shape."""
        self._check(tiles)
        x = to_model_range(tiles)
        batch = 1 if self._spec.search.iterations else _batch(len(x), self._lanes)
        results = self._workers.map(self._search_some, _split(x, batch), self._graphs_of_search(), batch)
        return SearchResult(**{name: np.concatenate([r[name] for r in results])[: len(x)] for name in results[0]})

    def look(self, prepared: UInt8) -> FirstLook:
        """As `LookingSearcher.look`."""
        if self._looks is None:
            raise PackageError("this package has no first look at the frame; export it again")
        found = self._looks.run(to_model_range(look_frame(prepared, self._spec.tile_size)[None]))
        return FirstLook(found["logit"][0], found["patch_logits"][0] if "patch_logits" in found else None)

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
            error = check_forward(self.forward, self._selftest)
            if self._looks is None:
                return error
            return max(error, check_forward(self._forward_at_a_look, self._selftest))
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
        graphs = self._present & {ENCODER}
        return np.concatenate(self._workers.map(lambda worker, row: self._start(worker, row)["z"], _split(x), graphs))

    def forward(self, x: Float) -> dict[str, Float]:
        """The answers of `ForwardTest` for images [N, C, H, W], from a model without a search step."""
        encoded = self.run(ENCODER, {"image": x})
        generated = self.run(GENERATOR, {"z": encoded["z"]})
        discriminated = self.run(DISCRIMINATOR, {"image": x}) if self._spec.has_discriminator else {}
        return forward_answers(encoded, generated, discriminated)

    def _forward_at_a_look(self, x: Float) -> dict[str, Float]:
        """`forward` with the logit of the first look at frames of one tile: it is D's, without mirror images."""
        return {**self.forward(x), "logit": self.run(FIRST_LOOK, {"image": x})["logit"][:, 0, 0]}

    def run(self, graph: str, inputs: Mapping[str, Float]) -> dict[str, Float]:
        """All outputs of one graph of the package, computed row by row, by name."""
        if graph == FIRST_LOOK and self._looks is not None:
            return self._looks.run(inputs["image"])
        count = len(next(iter(inputs.values())))
        rows = [{name: array[i : i + 1] for name, array in inputs.items()} for i in range(count)]
        results = self._workers.map(lambda worker, row: worker[graph](row), rows, (graph,))
        return {name: np.concatenate([r[name] for r in results]) for name in results[0]}

    def close(self) -> None:
        """Release graphs and threads."""
        self._workers.close()

    def _check(self, tiles: UInt8) -> None:
        size = self._spec.tile_size
        if tiles.ndim != 4 or tiles.shape[1:] != (size, size, self._spec.channels) or not len(tiles):
            raise ValueError(f"tiles must be uint8 [N, {size}, {size}, {self._spec.channels}], not {tiles.shape}")

    def _graphs_of_search(self) -> frozenset[str]:
        needed = {ENCODER, DISCRIMINATOR, GENERATOR}
        if self._spec.search.iterations:
            needed.add(SEARCH_STEP)
        if not self._needs_verdict:
            needed.add(FEATURES)
        return self._present & needed

    def _start(self, worker: Worker, x: Float) -> dict[str, Float]:
        """Where the search of tiles starts: z [batch, L], for a VAE also its log_variance."""
        if ENCODER in worker:
            return worker[ENCODER]({"image": x})
        return {"z": initial_latent(self._spec.search.seed, 1, self._spec.latent_size).repeat(len(x), axis=0)}

    def _search_some(self, worker: Worker, x: Float) -> dict[str, Float]:
        """The fields of `SearchResult` that this model has, for tiles x [batch, C, H, W]; to search takes one."""
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
            judged = DISCRIMINATOR if self._needs_verdict else FEATURES
            of_reconstruction = worker[judged]({"image": generated["image"]})
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
        found = {"feature_residual": feature_residual, "logit_frame": of_tile["logit"]}
        if self._needs_verdict:
            found["logit_reconstruction"] = of_reconstruction["logit"]
        if self._needs_verdict and self._spec.has_search_step:  # L' needs no other run of a graph
            gamma, lam = self._spec.search.gamma, self._spec.search.lam
            residual = np.abs(x - image).sum(axis=(1, 2, 3))
            one_minus_d = 1 / (1 + np.exp(of_reconstruction["logit"].astype(np.float64)))
            loss = gamma * ((1 - lam) * residual + lam * feature_residual) + (1 - gamma) * one_minus_d
            found["loss"] = loss.astype(np.float32)
        if self._spec.patch_shape is not None:
            found["patch_logits"] = of_tile["patch_logits"]
        return found

    def _negative_log_likelihood(
        self, worker: Worker, x: Float, start: dict[str, Float], generated: dict[str, Float]
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


def _batch(tiles: int, lanes: int) -> int:
    """Rows of a request: at most MOST_ROWS, the same in all requests, with as few as possible left over."""
    of_lane = -(-tiles // lanes)
    return -(-of_lane // -(-of_lane // MOST_ROWS))


def _split(x: Float, batch: int = 1) -> list[Float]:
    """Parts of `batch` rows; the last one is filled up with copies of the last row."""
    missing = -len(x) % batch
    whole = np.concatenate([x, x[-1:].repeat(missing, axis=0)]) if missing else x
    return [whole[i : i + batch] for i in range(0, len(whole), batch)]


def usable_cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
