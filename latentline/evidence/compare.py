"""Compare two packages on the pictures of an archive: score them with both, count, draw what changed, recommend."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from latentline.base.atomic import write_text
from latentline.errors import ConfigError
from latentline.evidence.changed_pictures import DrawnChange, draw_changes, save_contact_sheet
from latentline.evidence.comparison import ModelComparison, ScoredSide, compare_scores
from latentline.evidence.html_report import html_report
from latentline.evidence.labelled_picture import LabelledPicture
from latentline.inspection.result import InspectionResult
from latentline.package.model_package import ModelPackage
from latentline.rescoring.rescore import OpenCrew, RescoreReport, rescore
from latentline.rescoring.score_table import read_scores
from latentline.rescoring.scorer import PictureScorer

Progress = Callable[[int], Any]


@dataclass(frozen=True)
class ComparedPackage:
    """One of the two. threshold: None: the package's."""

    package: ModelPackage
    threshold: float | None = None

    @property
    def used_threshold(self) -> float:
        """The score above which a picture is abnormal."""
        return self.package.manifest.calibration.threshold if self.threshold is None else self.threshold

    def inspect(self, scorer: PictureScorer, path: Path) -> InspectionResult:
        """The result of a picture by this threshold. Raises ImageError."""
        return scorer.inspect(path).at_threshold(self.used_threshold, self.package.manifest.calibration.map_threshold)


@dataclass(frozen=True)
class ArchiveComparison:
    """What `compare_packages` found, and how the pictures were scored."""

    comparison: ModelComparison
    old: RescoreReport
    new: RescoreReport


def compare_packages(
    pictures: Sequence[LabelledPicture],
    old: ComparedPackage,
    new: ComparedPackage,
    out: Path,
    open_crew: OpenCrew,
    progress: Progress = lambda _: None,
) -> ArchiveComparison:
    """Compare `old` and `new` on `pictures`, and write report.html with its pictures, changes.png, comparison.json and
    the scores, old.parquet and new.parquet, into the folder `out`. An interrupted run goes on where it was.

    Pictures with the label skip are left out.

    progress  called with a number of pictures that one of the packages has scored
    Raises ConfigError when the packages are the same or `out` cannot be used, WorkersError, and what opening the
    packages raises.
    """
    if old.package.model_hash == new.package.model_hash and old.threshold == new.threshold:
        raise ConfigError("both packages are the same model; give the running one, and another")
    out.mkdir(parents=True, exist_ok=True)
    pictures = [picture for picture in pictures if picture.label != "skip"]
    files = [picture.file for picture in pictures]
    reports, sides = [], []
    for name, side in (("old", old), ("new", new)):
        table = out / f"{name}.parquet"
        reports.append(rescore(files, side.package, table, open_crew, progress))
        sides.append(_side(side, table))
    comparison = compare_scores(pictures, *sides)
    drawn = _drawn(comparison, old, new, out)
    result = ArchiveComparison(comparison, *reports)
    write_text(out / "comparison.json", to_json(result))
    write_text(out / "report.html", html_report(comparison, drawn))
    return result


def to_json(result: ArchiveComparison) -> str:
    """The comparison as JSON."""
    scoring = {name: vars(report) for name, report in (("old", result.old), ("new", result.new))}
    return json.dumps({**result.comparison.to_dict(), "scoring": scoring}, indent=1)


def _side(side: ComparedPackage, table: Path) -> ScoredSide:
    package, images = side.package, side.package.manifest.trained_images
    training = None if images is None else frozenset(images)
    return ScoredSide(package.manifest.name, package.model_hash, side.used_threshold, read_scores(table), training)


def _drawn(comparison: ModelComparison, old: ComparedPackage, new: ComparedPackage, out: Path) -> list[DrawnChange]:
    folder = out / "pictures"
    folder.mkdir(exist_ok=True)
    for stale in folder.glob("*.jpg"):
        stale.unlink()
    if not comparison.changed:
        (out / "changes.png").unlink(missing_ok=True)
        return []
    scorers = [PictureScorer(side.package) for side in (old, new)]
    inspect = (partial(side.inspect, scorer) for side, scorer in zip((old, new), scorers, strict=True))
    try:
        drawn = list(draw_changes(comparison.changed, folder, *inspect))
    finally:
        for scorer in scorers:
            scorer.close()
    save_contact_sheet(out / "changes.png", drawn)
    return drawn
