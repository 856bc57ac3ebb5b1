"""Whether a model may run in fp16: its search with fp16's rounding, on the CPU, against the same search in float32.

Neither gradients nor single scores can be judged. The loss has kinks: rounding takes some activations to the other side
of theirs, and each takes its share of the gradient along. So a search now and then ends in another minimum; float32
does that, too, from one runtime to the next. What counts is what fp16 does to the score of a typical tile.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields
from time import monotonic
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_runtime.engines.cache import EngineCache
from edge_runtime.engines.precision import Precision
from edge_runtime.engines.prepare import REVISION, prepare_graph
from edge_runtime.engines.rounding import rounding_twin
from edge_runtime.manifest import ModelSpec
from edge_runtime.model_package import DISCRIMINATOR, ENCODER, GENERATOR, SEARCH_STEP, ModelPackage, SearchModel
from edge_runtime.search.adam import adam_search, initial_latent
from latentline.errors import BackendError, VerificationError
from latentline.evidence import Viewer, frame_components
from latentline.preprocessing import Preprocessing, to_model_range, to_picture
from latentline.searcher import SearchResult

log = logging.getLogger(__name__)

Float = npt.NDArray[np.float32]
UInt8 = npt.NDArray[np.uint8]
Progress = Callable[[str], None]

# How far fp16 may move the score of the median tile, in standard deviations of the model's normal scores. Independent
# shifts of that size make the normal scores spread wider by a quarter.
BOUND = 0.5
REVISION_OF_CHECK = 1  # add one whenever the check measures something else
PROGRESS_SECONDS = 2.0


@dataclass(frozen=True)
class HalfReport:
    """What fp16 does to a model, over `tiles` tiles: the worst, and of the score the median, too.

    loss, gradient  relative error at the first z of each tile; the gradient's is large where activations cross a kink
    latent          ‖ẑ − ẑ of float32‖ / ‖ẑ of float32‖ after the whole search
    score           how far the score moves, in standard deviations of the model's normal scores
    """

    tiles: int
    loss: float
    gradient: float
    latent: float
    worst_score: float
    median_score: float


class RoundedSearcher:
    """`Searcher` that computes on the CPU, in ONNX Runtime, what the graphs of `precision` compute on a GPU."""

    name = "rounded"

    def __init__(self, model: SearchModel, precision: Precision) -> None:
        self._spec: ModelSpec = model.spec
        self._graphs = {
            name: _session(rounding_twin(prepare_graph(content, name, precision)))
            for name, content in model.graphs.items()
        }

    def search(self, tiles: UInt8) -> SearchResult:
        """Search all tiles, uint8 [N, H, W, C], one after the other."""
        x = to_model_range(tiles)
        results = [self._search_one(x[i : i + 1]) for i in range(len(x))]
        names = [field.name for field in fields(SearchResult)]
        return SearchResult(**{name: np.concatenate([getattr(r, name) for r in results]) for name in names})

    def step(self, z: Float, x: Float, fx: Float) -> tuple[Float, Float]:
        """Loss [1] and grad_z [1, L] of one tile."""
        loss, grad_z = self._graphs[SEARCH_STEP].run(["loss", "grad_z"], {"z": z, "x": x, "fx": fx})
        return loss, grad_z

    def discriminate(self, x: Float) -> tuple[Float, Float]:
        """Logit [1] and features [1, maps, 4, 4] of one image."""
        logit, features = self._graphs[DISCRIMINATOR].run(["logit", "features"], {"image": x})
        return logit, features

    def generate(self, z: Float) -> Float:
        """G(z) of one latent: [1, L] -> [1, C, H, W]."""
        image: Float = self._graphs[GENERATOR].run(["image"], {"z": z})[0]
        return image

    def start(self, x: Float) -> Float:
        """The first z [1, L] of a tile."""
        if ENCODER in self._graphs:
            z: Float = self._graphs[ENCODER].run(["z"], {"image": x})[0]
            return z
        return initial_latent(self._spec.search.seed, 1, self._spec.latent_size)

    def close(self) -> None:
        """Release the graphs."""
        self._graphs.clear()

    def _search_one(self, x: Float) -> SearchResult:
        search = self._spec.search
        logit_frame, features = self.discriminate(x)
        z = adam_search(lambda z: self.step(z, x, features)[1], self.start(x), search.iterations, search.learning_rate)
        reconstruction = self.generate(z)
        logit, seen = self.discriminate(reconstruction)
        return SearchResult(
            z=z,
            reconstruction=reconstruction,
            feature_residual=np.abs(features - seen).sum(axis=(1, 2, 3)),
            logit_reconstruction=logit,
            logit_frame=logit_frame,
            loss=self.step(z, x, features)[0],
        )


def check_half(package: ModelPackage, cache: EngineCache, progress: Progress = log.info) -> HalfReport:
    """What fp16 does to `package`, measured once and kept. Raises VerificationError when its score moves too far."""
    fingerprint = {"model": package.model_hash, "preparation": str(REVISION), "check": str(REVISION_OF_CHECK)}

    def measure() -> bytes:
        return json.dumps(asdict(measure_half(package, progress))).encode()

    report = HalfReport(**json.loads(cache.fetch(f"{package.manifest.name}.half_check", fingerprint, measure)))
    if not (report.median_score <= BOUND and math.isfinite(report.worst_score)):
        raise VerificationError(
            f"{package.manifest.name}: fp16 moves the score of a tile by {report.median_score:.2g} (median; at worst "
            f"{report.worst_score:.2g}) standard deviations of the normal scores, and {BOUND:g} is allowed; "
            "use --precision fp32"
        )
    return report


def measure_half(package: ModelPackage, progress: Progress = log.info) -> HalfReport:
    """Search the check's tiles in float32 and in fp16's rounding, and compare.

    The tiles are the self-test's images and those that G makes of its latents, which are normal by construction. Two
    searches a tile on the CPU: seconds for a small model, and long for a large one.
    """
    single, half = (RoundedSearcher(package, precision) for precision in ("fp32", "fp16"))
    tiles = _check_tiles(package, single)
    start = said = monotonic()
    differences = []
    with ThreadPoolExecutor() as pool:
        for done, difference in enumerate(pool.map(lambda tile: _compare(package, single, half, tile), tiles), start=1):
            differences.append(difference)
            if monotonic() - said >= PROGRESS_SECONDS:
                said = monotonic()
                progress(f"fp16 check: {done} of {len(tiles)} tiles searched, {said - start:.0f} s")
    loss, gradient, latent, score = (float(worst) for worst in np.max(differences, axis=0))
    return HalfReport(len(tiles), loss, gradient, latent, score, float(np.median([score for *_, score in differences])))


def _check_tiles(package: ModelPackage, searcher: RoundedSearcher) -> UInt8:
    """uint8 [2K, S, S, C]."""
    z = package.selftest.z.astype(np.float32)
    normal = np.concatenate([searcher.generate(z[i : i + 1]) for i in range(len(z))])
    return to_picture(np.concatenate([package.selftest.x.astype(np.float32), normal]))


def _compare(
    package: ModelPackage, single: RoundedSearcher, half: RoundedSearcher, tile: UInt8
) -> tuple[float, float, float, float]:
    """Errors of loss, gradient, ẑ and score for one tile [S, S, C]; what is not finite counts as infinite."""
    with np.errstate(all="ignore"):  # an overflow in half is what this looks for
        return _differences(package, single, half, tile)


def _differences(
    package: ModelPackage, single: RoundedSearcher, half: RoundedSearcher, tile: UInt8
) -> tuple[float, float, float, float]:
    x = to_model_range(tile[None])
    z = single.start(x)
    (true_loss, true_gradient), (loss, gradient) = (s.step(z, x, s.discriminate(x)[1]) for s in (single, half))
    (true_z, true_score), (final_z, score) = (_judge(package, s, tile) for s in (single, half))
    spread = float(package.normal_scores.std()) + 1e-6
    numbers = (
        _relative(loss, true_loss),
        _relative(gradient, true_gradient),
        _relative(final_z, true_z),
        abs(score - true_score) / spread,
    )
    first, second, third, fourth = (float(n) if np.isfinite(n) else math.inf for n in numbers)
    return first, second, third, fourth


def _judge(package: ModelPackage, searcher: RoundedSearcher, tile: UInt8) -> tuple[Float, float]:
    """ẑ and the score of a tile, as a frame of that size and no preprocessing."""
    viewer = Viewer(Preprocessing(channels=package.manifest.channels), package.manifest.tile_size, 0.0)
    evidence = viewer.search(searcher, tile)
    values = frame_components(evidence.result, package.statistics.maps(evidence), package.statistics.scales)
    return evidence.result.z, package.manifest.calibration.score(values)[0]


def _relative(found: Float, true: Float) -> float:
    return float(np.linalg.norm(found - true) / np.linalg.norm(true))


def _session(graph: bytes) -> Any:
    try:
        import onnxruntime
    except ImportError:
        raise BackendError(
            "onnxruntime is not installed; fp16 is checked with it: pip install 'latentline[gpu]'"
        ) from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
