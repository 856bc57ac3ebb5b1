"""Collects the results of an evaluation, image by image, and makes its report."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from latentline.errors import ImageError
from latentline.scoring.coverage import Coverage
from latentline.scoring.map_choice import MapChoice
from latentline.scoring.search_choice import SearchChoice
from latentline.scoring.thresholds import Promise
from latentline.vision.content import pixel_hash
from trainer.evaluation.figures import ImageFigures, PixelFigures
from trainer.evaluation.intervals import rate
from trainer.evaluation.kept_promise import broken_promise
from trainer.evaluation.metrics import f1_max, weighted_f1_max
from trainer.evaluation.pixel_metrics import PixelCounts, PixelCurves
from trainer.evaluation.report import GOOD, Confusion, EvaluationReport, ImageScore, Scores

Float = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Subject:
    """What is evaluated: name of the model, its method, the backend that runs it, iterations of its search.

    coverage  of held-out normal tiles; None: not measured
    choice    why the search has so many iterations; None: somebody gave their number
    map_choice  why the map is of its kind; None: somebody gave it
    tiles       of an image that are searched after a first look at all; None: all are
    seen        `pixel_hash` of the images that trained or calibrated it
    """

    name: str
    method: str
    backend: str
    iterations: int = 0
    coverage: Coverage | None = None
    choice: SearchChoice | None = None
    map_choice: MapChoice | None = None
    tiles: int | None = None
    seen: frozenset[str] = frozenset()


@dataclass
class EvaluationAccumulator:
    """Scores and pixel counts so far.

    threshold, false_alarm_rate, promise  of the calibration; None where there is none
    seconds                      of inspection, over all images
    skipped                      a sentence for each image that could not be read
    """

    subject: Subject
    threshold: float | None = None
    false_alarm_rate: float | None = None
    promise: Promise | None = None
    seconds: float = 0.0
    skipped: list[str] = field(default_factory=list)
    _images: dict[str, ImageScore] = field(default_factory=dict)
    _pixels: PixelCounts = field(default_factory=PixelCounts)
    _counted: list[str] = field(default_factory=list)
    _seen: list[str] = field(default_factory=list)

    def add(
        self,
        name: str,
        kind: str,
        group: str,
        frame: npt.NDArray[np.uint8],
        score: float,
        components: dict[str, float],
        anomaly_map: npt.NDArray[np.float32],
        mask: npt.NDArray[np.bool_] | None,
    ) -> None:
        """Add one image; `kind` is good or a defect, anomaly_map and mask are [H, W] like the frame.

        All pixels of a normal image are normal; an abnormal image without a mask, or with an empty one, does not count
        in the pixel figures. Raises ImageError when score, components or map are not finite.
        """
        values: dict[str, npt.ArrayLike] = {"score": score, **components, "anomaly map": anomaly_map}
        for what, value in values.items():
            if not np.isfinite(value).all():
                raise ImageError(f"{name}: its {what} is not finite, so the model is broken; train it again")
        content = hashlib.sha256(frame.tobytes()).hexdigest()[:16]
        self._images[name] = ImageScore(kind=kind, group=group, content=content, score=score, components=components)
        if pixel_hash(frame) in self.subject.seen:
            self._seen.append(name)
        if kind == GOOD:
            mask = np.zeros(anomaly_map.shape, np.bool_)
        elif mask is None or not mask.any():
            return
        self._pixels.add(anomaly_map, mask)
        self._counted.append(name)

    def scores(self) -> Scores:
        """The scores of all images, for scores.json."""
        return Scores(threshold=self.threshold, images=self._images)

    def report(self) -> EvaluationReport:
        """All figures with their intervals."""
        images = ImageFigures.of(self._images)
        pixels = self.pixel_figures()
        normal, abnormal = images.scores[~images.abnormal], images.scores[images.abnormal]
        both = bool(len(normal) and len(abnormal))
        best = f1_max(normal, abnormal) if both else None
        defects = [kind for kind in self.scores().kinds if kind != GOOD]
        components = sorted(set.intersection(*(set(i.components) for i in self._images.values())))
        alone = {name: np.array([i.components[name] for i in self._images.values()]) for name in components}
        component_values = tqdm(alone.items(), desc="figures of components", delay=2)
        return EvaluationReport(
            name=self.subject.name,
            method=self.subject.method,
            backend=self.subject.backend,
            iterations=self.subject.iterations,
            coverage=self.subject.coverage,
            search_choice=self.subject.choice,
            map_choice=self.subject.map_choice,
            tiles=self.subject.tiles,
            normal_images=len(normal),
            abnormal_images={kind: int((images.kinds == kind).sum()) for kind in defects},
            pixel_images=sum(self._images[name].kind != GOOD for name in self._counted) if pixels.whole else 0,
            image_auroc=images.auroc(images.scores) if both else None,
            image_auroc_by_defect={kind: images.auroc(images.scores, kind) for kind in defects if both},
            component_auroc={name: images.auroc(values) for name, values in component_values if both},
            f1_max=images.estimate(best[0], weighted_f1_max, images.scores) if best else None,
            f1_max_threshold=best[1] if best else None,
            pixel_auroc=pixels.estimate(PixelCurves.auroc),
            pixel_auroc_by_defect=pixels.by_defect(PixelCurves.auroc),
            aupro=pixels.estimate(PixelCurves.aupro),
            aupro_by_defect=pixels.by_defect(PixelCurves.aupro),
            confusion=self._confusion(normal, abnormal, images.groups[~images.abnormal]),
            seconds_per_image=self.seconds / len(self._images),
            skipped=tuple(self.skipped),
            seen=tuple(self._seen),
        )

    @property
    def counted(self) -> tuple[str, ...]:
        """The names of the images in the pixel figures, in the order in which they were added."""
        return tuple(self._counted)

    def pixel_figures(self) -> PixelFigures:
        """The figures of pixels, of the images in `counted`."""
        images = [self._images[name] for name in self._counted]
        curves = self._pixels.curves() if self._pixels.complete else None
        return PixelFigures(curves, [i.kind for i in images], [i.group for i in images])

    def _confusion(self, normal: Float, abnormal: Float, parts: npt.NDArray[np.str_]) -> Confusion | None:
        if self.threshold is None or self.false_alarm_rate is None:
            return None
        alarms, detected = int((normal > self.threshold).sum()), int((abnormal > self.threshold).sum())
        return Confusion(
            threshold=self.threshold,
            promised_false_alarm_rate=self.false_alarm_rate,
            accepted=len(normal) - alarms,
            false_alarms=alarms,
            detected=detected,
            missed=len(abnormal) - detected,
            false_alarm_rate=rate(alarms, len(normal)) if len(normal) else None,
            detection_rate=rate(detected, len(abnormal)) if len(abnormal) else None,
            promise=self.promise,
            broken=broken_promise(normal > self.threshold, parts, self.promise) if self.promise else None,
        )
