"""Evaluations side by side: one table, plots, and the difference from the first where the test images are the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from latentline.base.atomic import write_text
from latentline.base.places import check_folder
from latentline.base.strict_yaml import StrictModel
from latentline.errors import DatasetError
from trainer.evaluation.figures import ImageFigures
from trainer.evaluation.intervals import Estimate, Weights
from trainer.evaluation.metrics import weighted_auroc
from trainer.evaluation.plots import all_defects, save_precision_recall, save_roc, save_scores
from trainer.evaluation.report import GOOD, EvaluationReport, ImageScore, Scores, read_results

DIFFERENCE = "difference in image AUROC from the first, same images"


class Difference(StrictModel):
    """Image AUROC minus that of the first evaluation, with the interval of paired resamples of the same images.

    value   None where the test images differ, or there are no normal ones; then `reason` says which
    """

    value: Estimate | None
    reason: str = ""

    def __str__(self) -> str:
        return self.reason if self.value is None else self.value.signed


class Comparison(StrictModel):
    """Reports by their names in the table, and the difference of each from the first."""

    reports: dict[str, EvaluationReport]
    differences: dict[str, Difference]

    def to_json(self) -> str:
        """The comparison as JSON."""
        return self.model_dump_json(indent=1)

    def to_markdown(self) -> str:
        """The comparison as one table with a column for each report; intervals are 95 %."""
        columns = {name: report.rows() for name, report in self.reports.items()}
        figures = list(dict.fromkeys(figure for rows in columns.values() for figure in rows))
        lines = ["| figure | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
        lines += [f"| {f} | " + " | ".join(rows.get(f, "–") for rows in columns.values()) + " |" for f in figures]
        differences = [str(self.differences[name]) if name in self.differences else "–" for name in columns]
        return "\n".join([*lines, f"| {DIFFERENCE} | " + " | ".join(differences) + " |"])


@dataclass(frozen=True)
class Results:
    """One evaluation as read from its folder."""

    report: EvaluationReport
    scores: Scores


def compare(places: Sequence[Path], out: Path | None = None) -> Comparison:
    """Compare evaluations, or evaluated runs; write comparison.md, comparison.json and plots into `out`.

    Raises DatasetError when a folder holds no evaluation, or is given twice.
    """
    if out is not None:
        check_folder(out)
    results = {name: Results(*read_results(place)) for name, place in _names(places).items()}
    first, *others = results
    differences = {name: difference(results[first].scores, results[name].scores) for name in others}
    comparison = Comparison(reports={name: r.report for name, r in results.items()}, differences=differences)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        write_text(out / "comparison.md", comparison.to_markdown() + "\n")
        write_text(out / "comparison.json", comparison.to_json())
        _save_plots(out, {name: r.scores for name, r in results.items()})
    return comparison


def difference(first: Scores, other: Scores) -> Difference:
    """Image AUROC of `other` minus that of `first`."""
    ours, theirs = _by_content(first), _by_content(other)
    common = sorted(ours.keys() & theirs.keys())
    if len(common) != len(ours) or len(common) != len(theirs):
        return Difference(value=None, reason=f"different test images ({len(common)} in common)")
    if not {GOOD} < {kind for kind, _, _ in common}:
        return Difference(value=None, reason="no normal images")
    figures = ImageFigures.of({str(key): ours[key] for key in common})
    before = figures.scores
    after = np.array([theirs[key].score for key in common], dtype=np.float64)

    def gain(values: Weights, abnormal: npt.NDArray[np.bool_], weights: Weights) -> Weights:
        return weighted_auroc(values, abnormal, weights) - weighted_auroc(before, abnormal, weights)

    value = gain(after, figures.abnormal, np.ones((1, len(common))))
    return Difference(value=figures.estimate(float(value[0]), gain, after))


def _by_content(scores: Scores) -> dict[tuple[str, str, int], ImageScore]:
    """Images by kind, content, and a number that tells copies of one image apart."""
    found: dict[tuple[str, str, int], ImageScore] = {}
    copies: Counter[tuple[str, str]] = Counter()
    for _, image in sorted(scores.images.items()):
        key = (image.kind, image.content)
        found[image.kind, image.content, copies[key]] = image
        copies[key] += 1
    return found


def _names(places: Sequence[Path]) -> dict[str, Path]:
    """Each folder by the shortest end of its path that no other folder shares."""
    parts = [place.resolve().parts for place in places]
    named: dict[str, Path] = {}
    for own, place in zip(parts, places, strict=True):
        if parts.count(own) > 1:
            raise DatasetError(f"{place}: given twice; give each evaluation once")
        length = 1
        while sum(other[-length:] == own[-length:] for other in parts) > 1:
            length += 1
        named["/".join(own[-length:])] = place
    return named


def _save_plots(out: Path, runs: Mapping[str, Scores]) -> None:
    save_scores(out / "scores.png", runs)
    curves = {name: all_defects(scores) for name, scores in runs.items() if GOOD in scores.kinds}
    if curves:
        save_roc(out / "roc.png", curves, {name: scores.threshold for name, scores in runs.items()})
        save_precision_recall(out / "precision_recall.png", curves)
