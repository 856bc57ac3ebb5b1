"""Decide whether a model may run in fp16: compare its search with fp16's rounding, on the CPU, with float32.

Neither gradients nor single scores decide. The loss has kinks: rounding moves some activations across them, and each of
these changes the gradient. So a search sometimes ends in another minimum, as float32 searches do in different runtimes.
The score of a typical tile decides.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from threading import Lock
from time import monotonic

import numpy as np
import numpy.typing as npt

from latentline.backends.tensorrt.cache import EngineCache
from latentline.backends.tensorrt.fp16.rounded_searcher import RoundedSearcher
from latentline.backends.tensorrt.gpu.supported import require_supported
from latentline.backends.tensorrt.graphs.prepare import REVISION
from latentline.errors import VerificationError
from latentline.package.model_package import ModelPackage
from latentline.package.selftest import SelfTest
from latentline.scoring.components import frame_components
from latentline.search.tiler import FrameTiler
from latentline.vision.preprocessing import Preprocessing, to_model_range, to_picture

log = logging.getLogger(__name__)

Float = npt.NDArray[np.float32]
UInt8 = npt.NDArray[np.uint8]
Progress = Callable[[str], None]

# How far fp16 may move the score of the median tile, in standard deviations of the model's normal scores. Independent
# shifts of that size make the normal scores spread wider by a quarter.
BOUND = 0.5
CHECK_REVISION = 2  # add one whenever the check changes
PROGRESS_SECONDS = 2.0


@dataclass(frozen=True)
class HalfReport:
    """How far fp16 moves a model, over `tiles` tiles: the worst of each, and the median score.

    loss, gradient  relative error at the first z of each tile; large for the gradient where activations cross a kink
    latent          ‖ẑ − ẑ of float32‖ / ‖ẑ of float32‖ after the whole search
    score           shift of the score, in standard deviations of the model's normal scores
    """

    tiles: int
    loss: float
    gradient: float
    latent: float
    worst_score: float
    median_score: float


def check_half(package: ModelPackage, cache: EngineCache, progress: Progress = log.info) -> HalfReport:
    """Measure `package` in fp16 once, then use the cached report. Raises VerificationError when scores move too far."""
    fingerprint = {"model": package.model_hash, "preparation": str(REVISION), "check": str(CHECK_REVISION)}

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

    The tiles are the self-test's images, and G's images of the self-test's latents, which are normal by construction.
    Each tile is searched twice on the CPU: seconds for a small model, much longer for a large one.
    """
    test = require_supported(package)
    count = 2 * len(test.loss)
    # each tile, in each precision: the first z, all iterations, the loss of ẑ
    steps = _Steps(2 * count * (package.manifest.search.iterations + 2), progress)
    single, half = (RoundedSearcher(package, precision, steps.done) for precision in ("fp32", "fp16"))
    tiles = _check_tiles(test, single)
    with ThreadPoolExecutor() as pool:
        differences = list(pool.map(lambda tile: _compare(package, single, half, tile), tiles))
    loss, gradient, latent, score = (float(worst) for worst in np.max(differences, axis=0))
    return HalfReport(len(tiles), loss, gradient, latent, score, float(np.median([score for *_, score in differences])))


class _Steps:
    """Counts search steps, from any thread, and reports every few seconds how many of `total` are done."""

    def __init__(self, total: int, progress: Progress) -> None:
        self._total, self._progress = total, progress
        self._lock = Lock()
        self._count = 0
        self._start = self._reported = monotonic()

    def done(self) -> None:
        """One more step."""
        with self._lock:
            self._count += 1
            now = monotonic()
            if now - self._reported < PROGRESS_SECONDS:
                return
            self._reported = now
            line = f"fp16 check: {100 * self._count / self._total:.0f} % searched, {now - self._start:.0f} s"
        self._progress(line)


def _check_tiles(test: SelfTest, searcher: RoundedSearcher) -> UInt8:
    """uint8 [2K, S, S, C]."""
    z = test.z.astype(np.float32)
    normal = np.concatenate([searcher.generate(z[i : i + 1]) for i in range(len(z))])
    return to_picture(np.concatenate([test.x.astype(np.float32), normal]))


def _compare(
    package: ModelPackage, single: RoundedSearcher, half: RoundedSearcher, tile: UInt8
) -> tuple[float, float, float, float]:
    """Errors of loss, gradient, ẑ and score for one tile [S, S, C]; an error that is not finite is infinite."""
    with np.errstate(all="ignore"):  # an overflow in half is a finding, not a fault here
        return _differences(package, single, half, tile)


def _differences(
    package: ModelPackage, single: RoundedSearcher, half: RoundedSearcher, tile: UInt8
) -> tuple[float, float, float, float]:
    x = to_model_range(tile[None])
    z = single.start(x)
    (true_loss, true_gradient), (loss, gradient) = (s.step(z, x, s.discriminate(x)[1]) for s in (single, half))
    (true_z, true_score), (final_z, score) = (_score(package, s, tile) for s in (single, half))
    spread = float(package.normal_scores.std()) + 1e-6
    numbers = (
        _relative(loss, true_loss),
        _relative(gradient, true_gradient),
        _relative(final_z, true_z),
        abs(score - true_score) / spread,
    )
    first, second, third, fourth = (float(n) if np.isfinite(n) else math.inf for n in numbers)
    return first, second, third, fourth


def _score(package: ModelPackage, searcher: RoundedSearcher, tile: UInt8) -> tuple[Float, float]:
    """ẑ and score of a tile, taken as a frame of its size without preprocessing, by all but a trunk's components."""
    manifest = package.manifest
    tiler = FrameTiler(Preprocessing(channels=manifest.channels), manifest.tile_size, 0.0, manifest.search.most_tiles)
    searched = tiler.search(searcher, tile)
    values = frame_components(searched, package.statistics.maps(searched), package.statistics)
    return searched.result.z, manifest.calibration.among(values).score(values)[0]


def _relative(found: Float, true: Float) -> float:
    return float(np.linalg.norm(found - true) / np.linalg.norm(true))
