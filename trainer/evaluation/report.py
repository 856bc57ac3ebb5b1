"""The results of an evaluation: `report.json`, `report.md`, and `scores.json` with every test image.

They do not depend on what was evaluated: a baseline without a model has the same report and compares with models.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field, ValidationError

from latentline.base.atomic import write_text
from latentline.base.counted import counted
from latentline.base.strict_yaml import StrictModel
from latentline.errors import DatasetError
from latentline.scoring.coverage import Coverage
from latentline.scoring.map_choice import MapChoice
from latentline.scoring.search_choice import SearchChoice
from latentline.scoring.thresholds import Promise
from trainer.evaluation.intervals import Estimate
from trainer.evaluation.search_gain import SearchGain

GOOD = "good"  # the kind of normal images; every other kind is a defect
COVERAGE = "variance of held-out normal tiles explained by G(ẑ)"
SEEN = "of images that trained or calibrated the model, so the figures flatter it; take such out, and train again"
Model = TypeVar("Model", bound=BaseModel)

COMPONENTS = {
    "loss": "L' of the paper alone",
    "d_frame": "1 − D(x) alone, without reconstruction",
    "d_look": "the first look alone",
    "d_reconstruction": "1 − D(G(ẑ)) alone",
    "d_patch": "D's patch head alone",
    "feature": "residual of D's features alone",
    "kl": "KL of z alone",
    "trunk_distance": "distance of the trunk's features alone",
    "trunk_verdict": "verdict on the trunk's features alone",
}


class ImageScore(StrictModel):
    """One test image.

    kind        good, or the kind of defect
    group       the part that it shows; images of one part are not independent
    content     digest of its pixels: identifies the image, whatever its name
    components  raw values; larger is more abnormal
    """

    kind: str
    group: str
    content: str
    score: float
    components: dict[str, float] = Field(default_factory=dict)


class Scores(StrictModel):
    """All test images by name, and the calibrated threshold of their scores; None where nothing was calibrated."""

    threshold: float | None
    images: dict[str, ImageScore]

    def of(self, kind: str) -> npt.NDArray[np.float64]:
        """The scores of one kind of image, [N]."""
        return np.array([image.score for image in self.images.values() if image.kind == kind], dtype=np.float64)

    @property
    def kinds(self) -> list[str]:
        """The kinds of images: good first, then the defects, sorted."""
        return sorted({image.kind for image in self.images.values()}, key=lambda kind: (kind != GOOD, kind))


class Confusion(StrictModel):
    """Test images on either side of the calibrated threshold; a rate is None where there are no images for it.

    promise  of the calibration; None: of an older version
    broken   a sentence where normal test images break it, beyond chance
    """

    threshold: float
    promised_false_alarm_rate: float
    accepted: int
    false_alarms: int
    detected: int
    missed: int
    false_alarm_rate: Estimate | None
    detection_rate: Estimate | None
    promise: Promise | None = None
    broken: str | None = None


class EvaluationReport(StrictModel):
    """Detection quality on test images; a figure is None where the images do not allow it.

    name, method, backend, iterations  what was evaluated, and how it searched
    coverage           of held-out normal tiles by G(ẑ), beside that of principal components; None: not measured
    search_choice      why the search has so many iterations; None: somebody gave their number
    map_choice         why the map is of its kind; None: somebody gave it
    tiles              of an image that are searched after a first look at all; None: all are
    search_gain        on the test images, over none; None: not measured
    pixel_images       abnormal images with a mask; the pixel figures are over these and the normal images
    component_auroc    image AUROC of each raw component alone
    *_by_defect        one kind of defect against all normal images
    seconds_per_image  of inspection, without reading files
    skipped            a sentence for each image that could not be read
    seen               test images whose pixels also trained or calibrated the model: the figures flatter it
    """

    name: str
    method: str
    backend: str
    iterations: int
    coverage: Coverage | None = None
    search_choice: SearchChoice | None = None
    map_choice: MapChoice | None = None
    tiles: int | None = None
    search_gain: SearchGain | None = None
    normal_images: int
    abnormal_images: dict[str, int]
    pixel_images: int
    image_auroc: Estimate | None
    image_auroc_by_defect: dict[str, Estimate]
    component_auroc: dict[str, Estimate]
    f1_max: Estimate | None
    f1_max_threshold: float | None
    pixel_auroc: Estimate | None
    pixel_auroc_by_defect: dict[str, Estimate]
    aupro: Estimate | None
    aupro_by_defect: dict[str, Estimate]
    confusion: Confusion | None
    seconds_per_image: float
    skipped: tuple[str, ...] = ()
    seen: tuple[str, ...] = ()

    def rows(self) -> dict[str, str]:
        """The rows of the table: figure and value; intervals are 95 %."""
        abnormal = sum(self.abnormal_images.values())
        rows = {
            "method": f"{self.method}, n = {self.iterations}" if self.iterations else self.method,
            "test images": f"{self.normal_images} normal, {abnormal} abnormal",
        }
        if self.coverage is not None:
            c = self.coverage
            rows[COVERAGE] = (
                f"{c.explained:.3f}; PCA ({counted(c.components, 'component')}): {c.pca:.3f}; "
                f"{counted(c.tiles, 'tile')}"
            )
        if self.search_choice is not None:
            rows["search chosen by auto"] = f"{self.search_choice.sentence} ({self.search_choice.frames})"
        if self.tiles is not None:
            many = "most suspicious one" if self.tiles == 1 else f"{self.tiles} most suspicious ones"
            rows["searched tiles"] = f"the {many} of each image"
        if self.map_choice is not None:
            rows["anomaly map chosen by auto"] = self.map_choice.sentence
        rows |= {} if self.search_gain is None else self.search_gain.rows()
        rows["image AUROC"] = _text(self.image_auroc, "no normal images")
        by_defect = self.image_auroc_by_defect if len(self.image_auroc_by_defect) > 1 else {}
        rows |= {f"image AUROC, {kind}": str(value) for kind, value in by_defect.items()}
        alone = sorted(
            self.component_auroc, key=lambda name: list(COMPONENTS).index(name) if name in COMPONENTS else 99
        )
        rows |= {f"image AUROC, {component_title(name)}": str(self.component_auroc[name]) for name in alone}
        rows["F1-max"] = _text(self.f1_max, "no normal images")
        if self.f1_max_threshold is not None:
            rows["F1-max"] += f" at {self.f1_max_threshold:.3f}"
        for title, whole, parts in (
            ("pixel AUROC", self.pixel_auroc, self.pixel_auroc_by_defect),
            ("AUPRO (FPR ≤ 0.3)", self.aupro, self.aupro_by_defect),
        ):
            rows[title] = _text(whole, "no masks")
            rows |= {f"{title}, {kind}": str(value) for kind, value in parts.items() if len(parts) > 1}
        if self.pixel_images:
            rows["abnormal images with a mask"] = str(self.pixel_images)
        if self.confusion is not None:
            rows |= _confusion_rows(self.confusion)
        rows["seconds per image"] = f"{self.seconds_per_image:.3g} ({self.backend})"
        if self.skipped:
            rows["unreadable images, skipped"] = str(len(self.skipped))
        if self.seen:
            rows["test images that the model has seen"] = f"{len(self.seen)}, such as {self.seen[0]}: copies {SEEN}"
        return rows

    def to_json(self) -> str:
        """The report as JSON."""
        return self.model_dump_json(indent=1)

    def to_markdown(self) -> str:
        """The report as a Markdown table."""
        return "\n".join(["| figure | value |", "|---|---|", *(f"| {k} | {v} |" for k, v in self.rows().items())])


def component_title(name: str) -> str:
    """The title of a component in a table."""
    return COMPONENTS.get(name, f"component {name} alone")


def write_results(out: Path, report: EvaluationReport, scores: Scores, page: str | None = None) -> None:
    """Write report.json, report.md and scores.json into the folder `out`.

    page  the content of report.md; None: the table alone
    """
    write_text(out / "report.json", report.to_json())
    write_text(out / "report.md", report.to_markdown() + "\n" if page is None else page)
    write_text(out / "scores.json", scores.model_dump_json(indent=1))


def read_results(place: Path) -> tuple[EvaluationReport, Scores]:
    """Read the results in `place`, or in its folder `evaluation`. Raises DatasetError when there are none."""
    folder = place if (place / "report.json").is_file() else place / "evaluation"
    return _read(folder / "report.json", EvaluationReport, place), _read(folder / "scores.json", Scores, place)


def _read(path: Path, model: type[Model], place: Path) -> Model:
    try:
        return model.model_validate_json(path.read_bytes())
    except OSError as error:
        raise DatasetError(
            f"{place}: no evaluation here ({path.name} cannot be read: {error.strerror}); "
            "give a folder written by `latentline-train evaluate`, or an evaluated run"
        ) from None
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        key = ".".join(map(str, fault["loc"])) or "the file"
        raise DatasetError(f"{path}: not a report of this version ('{key}': {fault['msg']}); evaluate again") from None


def _text(value: Estimate | None, reason: str) -> str:
    return reason if value is None else str(value)


def _confusion_rows(confusion: Confusion) -> dict[str, str]:
    rows = {
        "calibrated threshold": f"{confusion.threshold:.3f}",
        "promised false-alarm rate": f"{confusion.promised_false_alarm_rate:.3f}",
    }
    if confusion.false_alarm_rate is not None:
        share = f"{confusion.false_alarms} of {confusion.false_alarms + confusion.accepted}"
        rows["false-alarm rate on normal test images"] = f"{confusion.false_alarm_rate} ({share})"
    if confusion.detection_rate is not None:
        share = f"{confusion.detected} of {confusion.detected + confusion.missed}"
        rows["detection rate at the threshold"] = f"{confusion.detection_rate} ({share})"
    if confusion.promise is not None:
        rows["what the threshold promises"] = confusion.promise.sentence
        rows |= {} if confusion.promise.cost is None else {"what few images cost": confusion.promise.cost}
    rows |= {} if confusion.broken is None else {"the promise is broken": confusion.broken}
    return rows
