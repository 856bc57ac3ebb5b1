"""Compare a backend with the CPU: the acceptance test of a device.

Two correct searches can end at different ẑ: the loss has kinks, Adam's early steps are nearly signs, and the last bit
of a sum can send a tile another way. (With two CPU runtimes, one tile of six ended at a loss of 74 and not 52, the
other five within 0.1 %.) So ẑ is only reported. Bounds hold for the loss, at each tile's start, on the way and at the
median tile's end, and for the score, with room for one such tile. The bounds for all that follows the search (map,
components) are tight: NumPy computes them from the backend's *own* reconstruction.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt

from latentline.backends.adam import adam_search
from latentline.backends.openvino.searcher import OpenVinoSearcher
from latentline.backends.settings import Precision
from latentline.inspection.host_reconstructor import HostReconstructor, reconstruction_of
from latentline.inspection.reconstructor import ReconstructedFrame
from latentline.package.model_package import ModelPackage
from latentline.scoring.calibration import Calibration
from latentline.scoring.components import frame_components
from latentline.search.searched_frame import SearchedFrame
from latentline.search.searcher import SearchResult
from latentline.vision.preprocessing import to_model_range, to_picture
from latentline.vision.tiles import TilePlan

Float = npt.NDArray[np.float32]
UInt8 = npt.NDArray[np.uint8]

START_BOUND: dict[Precision, float] = {"fp32": 1e-3, "fp16": 0.05}  # relative, of the loss before the first step
CURVE_BOUND: dict[Precision, float] = {"fp32": 0.02, "fp16": 0.1}  # relative, of the loss on the way and at the end
SCORE_BOUND = 1.0  # standard deviations of the package's normal scores
MAP_BOUND = 5e-3  # of the map's largest value, or of one standard deviation: a map may be 0 everywhere
VALUE_BOUND = 5e-3  # of a raw component, which is a logarithm or a sum


@dataclass(frozen=True)
class BackendComparison:
    """One measured property and its bound, the largest allowed value; None: only reported."""

    what: str
    measured: float
    bound: float | None

    @property
    def passed(self) -> bool:
        """Whether the value is within its bound. A value that is not finite never is."""
        return self.bound is None or bool(np.isfinite(self.measured) and self.measured <= self.bound)


class ComparedBackend(Protocol):
    """A backend that can be compared, such as `latentline.backends.tensorrt.searcher.TensorRtSearcher`."""

    def reconstruct(self, frame: UInt8) -> ReconstructedFrame:
        """As `Reconstructor`."""
        ...

    def search(self, tiles: UInt8) -> SearchResult:
        """As `Searcher`, in the same batches as `reconstruct`."""
        ...

    def trace(self, tiles: UInt8) -> Float:
        """L' [iterations, N] before each iteration's step."""
        ...


def conformance(
    package: ModelPackage, cpu: OpenVinoSearcher, backend: ComparedBackend, precision: Precision
) -> Iterator[BackendComparison]:
    """Compare `backend` with the CPU on `example_frames`; yields the comparisons one by one."""
    host = HostReconstructor(cpu, package.tiler, package.statistics)
    calibration = _of_the_search(package)
    spread = float(package.normal_scores.std()) or 1.0
    for name, frame in example_frames(package, cpu).items():
        prepared = package.tiler.preprocessing.apply(frame)
        plan = TilePlan.cover(prepared.shape[0], prepared.shape[1], package.spec.tile_size, package.tiler.overlap)
        expected, found = host.reconstruct(frame), backend.reconstruct(frame)
        tiles = plan.cut(prepared, found.searched_tiles)
        own, curve = backend.search(tiles), backend.trace(tiles)
        reference = loss_curve(package, cpu, tiles)
        errors = np.abs(curve.astype(np.float64) - reference) / reference
        if len(errors):
            yield BackendComparison(f"{name}: first loss of any tile", float(errors[0].max()), START_BOUND[precision])
            yield BackendComparison(f"{name}: loss curve, median", float(np.median(errors)), CURVE_BOUND[precision])
        reference_end = cpu.search(tiles)
        assert reference_end.loss is not None
        loss = _loss_at(own.z, cpu, tiles) if own.loss is None else own.loss
        end = float(np.median(np.abs(loss - reference_end.loss) / reference_end.loss))
        yield BackendComparison(f"{name}: final loss of the median tile", end, CURVE_BOUND[precision])
        distance = float(np.linalg.norm(own.z - reference_end.z) / np.linalg.norm(reference_end.z))
        yield BackendComparison(f"{name}: final z", distance, None)
        score = abs(calibration.score(found.values)[0] - calibration.score(expected.values)[0])
        yield BackendComparison(f"{name}: score, in standard deviations of normal scores", score / spread, SCORE_BOUND)
        look = None if found.searched is None else cpu.look(prepared)
        searched = SearchedFrame(prepared, plan, tiles, own, {}, look, found.searched)
        yield from _after_the_search(name, package, searched, found)
        again = backend.reconstruct(frame)
        yield BackendComparison(f"{name}: the same frame again", _difference(found.anomaly_map, again.anomaly_map), 0.0)


def _of_the_search(package: ModelPackage) -> Calibration:
    """The calibration without the trunk's components, which the CPU computes for every backend."""
    calibration = package.manifest.calibration
    beside = () if package.trunk is None else package.trunk.scales.scales
    return calibration.among({component.name for component in calibration.components} - set(beside))


def _after_the_search(
    name: str, package: ModelPackage, own: SearchedFrame, found: ReconstructedFrame
) -> Iterator[BackendComparison]:
    """Compare map, components and image with NumPy's, from the backend's own reconstruction."""
    maps, prepared = package.statistics.maps(own), own.prepared
    expected = maps.max(axis=0)
    yield BackendComparison(f"{name}: prepared frame, grey levels", _difference(found.prepared, prepared), 1.0)
    error = _difference(found.anomaly_map, expected) / max(1.0, float(expected.max()))
    yield BackendComparison(f"{name}: anomaly map of its own reconstruction", error, MAP_BOUND)
    values = frame_components(own, maps, package.statistics)
    errors = [abs(found.values[key] - value) / max(1.0, abs(value)) for key, value in values.items()]
    yield BackendComparison(f"{name}: score components of its own reconstruction", max(errors), VALUE_BOUND)
    picture = reconstruction_of(own)
    yield BackendComparison(
        f"{name}: image of its own reconstruction, grey levels", _difference(found.reconstruction, picture), 1.0
    )


def example_frames(package: ModelPackage, cpu: OpenVinoSearcher) -> dict[str, UInt8]:
    """Frames like those of a camera, by name, made of normal images of the model: uint8 [H, W, C].

    One tile; several tiles at odd sizes; the same with a planted defect; and a larger one with three channels, which
    needs preprocessing.
    """
    spec, preprocessing = package.spec, package.manifest.preprocessing
    rng = np.random.default_rng(0)
    images = to_picture(cpu.generate(rng.standard_normal((6, spec.latent_size)).astype(np.float32)))
    mosaic = np.concatenate([np.concatenate(images[:3], axis=1), np.concatenate(images[3:], axis=1)], axis=0)
    size = spec.tile_size
    odd = np.ascontiguousarray(mosaic[: size + size // 3 + 1, : 2 * size + size // 5 + 1])
    frames = {"one tile": images[0], "several tiles": odd, "a planted defect": odd.copy()}
    side = max(2, size // 8)
    frames["a planted defect"][size // 2 : size // 2 + side, size // 2 : size // 2 + side] //= 3
    if preprocessing.height is None:
        large = odd
    else:
        height = preprocessing.height + preprocessing.height // 2
        large = cv2.resize(odd, (round(height * odd.shape[1] / odd.shape[0]), height)).reshape(height, -1, odd.shape[2])
    frames["a camera's frame"] = large if large.shape[2] == 3 else np.repeat(large, 3, axis=2)
    return frames


def loss_curve(package: ModelPackage, cpu: OpenVinoSearcher, tiles: UInt8) -> Float:
    """L' [iterations, N] before each iteration's step, on the CPU."""
    search = package.spec.search
    x = to_model_range(tiles)
    _, fx = cpu.discriminate(x)
    losses: list[Float] = []

    def gradient(z: Float) -> Float:
        loss, grad_z = cpu.step(z, x, fx)
        losses.append(loss)
        return grad_z

    adam_search(gradient, cpu.encode(x), search.iterations, search.learning_rate)
    return np.stack(losses) if losses else np.zeros((0, len(tiles)), np.float32)


def _loss_at(z: Float, cpu: OpenVinoSearcher, tiles: UInt8) -> Float:
    """L' [N] at z, of a backend that leaves it out because the score has no use for it."""
    x = to_model_range(tiles)
    return cpu.step(z, x, cpu.discriminate(x)[1])[0]


def _difference(a: npt.NDArray[np.generic], b: npt.NDArray[np.generic]) -> float:
    return float(np.max(np.abs(a.astype(np.float64) - b.astype(np.float64)))) if a.shape == b.shape else float("inf")
