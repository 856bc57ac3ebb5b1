"""Evaluate an inspector on the test images of a split: figures, scores, plots and pictures."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from latentline.base.counted import counted
from latentline.errors import DatasetError
from latentline.inspection.inspector import Inspector
from latentline.inspection.panels import save_panel
from latentline.inspection.result import InspectionResult
from trainer.data.loading import read_each
from trainer.data.mask_counts import MaskCounts
from trainer.data.source import ImageSource
from trainer.data.split import Split
from trainer.evaluation.accumulator import EvaluationAccumulator, Subject
from trainer.evaluation.error_panels import ErrorPanels, panel_name
from trainer.evaluation.plots import all_defects, by_defect, save_maps, save_precision_recall, save_roc, save_scores
from trainer.evaluation.report import GOOD, SEEN, EvaluationReport, Scores, write_results
from trainer.evaluation.report_page import report_page
from trainer.evaluation.shown_tiles import ShownTiles
from trainer.evaluation.without_search import search_gain
from trainer.pictures.tiles import TileViewer

UInt8 = npt.NDArray[np.uint8]
PICTURES_PER_KIND = 2
ADD = "put some into test/<defect> and train again, or go on with `latentline-export package`, which needs none"
log = logging.getLogger(__name__)


def evaluate(
    inspector: Inspector,
    subject: Subject,
    source: ImageSource,
    split: Split,
    out: Path,
    without_search: Inspector | None = None,
    viewer: TileViewer | None = None,
    tested: CheckedImages | None = None,
) -> EvaluationReport:
    """Inspect all test images of the split; write report, scores, plots and pictures into `out`.

    without_search  also inspects all of them, and the report says what the search gave
    viewer          draws tiles.png; None: there is none
    tested          what `check_test_images` gave; None: they are checked here
    Raises DatasetError when there is nothing to measure, ImageError when a score is not finite.
    """
    readable, skipped = tested or check_test_images(source, split)
    calibration = inspector.calibration
    accumulator = EvaluationAccumulator(
        subject, calibration.threshold, calibration.false_alarm_rate, calibration.promise
    )
    accumulator.skipped += skipped
    out.mkdir(parents=True, exist_ok=True)
    errors, shown, groups = ErrorPanels(), ShownTiles(viewer, readable), source.groups()
    maps: dict[str, tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_] | None]] = {}
    with tqdm(total=sum(map(len, readable.values())), unit="img") as bar:
        for kind, names in readable.items():
            frames = read_each(source, names, accumulator.skipped)
            for index, (name, frame, result, seconds) in enumerate(inspect_all(inspector, frames)):
                mask = None if kind == GOOD else source.mask(name, (frame.shape[0], frame.shape[1]))
                group = groups.get(name, name)
                accumulator.add(name, kind, group, frame, result.score, result.values, result.anomaly_map, mask)
                accumulator.seconds += seconds
                errors.add(name, kind, frame, result, mask)
                shown.add(name, kind, frame, result.anomaly_map, mask)
                maps.setdefault(kind, (result.anomaly_map, mask))
                if index < PICTURES_PER_KIND:
                    save_panel(out / panel_name(kind, name), frame, result, mask)
                bar.update()
    errors.save(out / "misses.png", out / "false_alarms.png")
    save_maps(out / "maps.png", maps)
    save_plots(out, accumulator.scores())
    report = accumulator.report()
    if without_search is not None:
        again = _inspect_again(without_search, subject, source, readable)
        report = report.model_copy(update={"search_gain": search_gain(accumulator, again)})
    if report.confusion is not None and report.confusion.broken is not None:
        log.warning("false alarms: %s", report.confusion.broken)
    if report.seen:
        seen = counted(len(report.seen), "test image is a copy", "test images are copies")
        log.warning("%s: %s %s; the first: %s", source.place, seen, SEEN, report.seen[0])
    page = report_page(report, out, shown.save(out / "tiles.png"))
    write_results(out, report, accumulator.scores(), page)
    return report


class CheckedImages(NamedTuple):
    """The readable test images of each kind, and a sentence for each other one."""

    readable: dict[str, tuple[str, ...]]
    skipped: list[str]


def check_test_images(source: ImageSource, split: Split) -> CheckedImages:
    """The readable images of each kind, with their masks checked: a broken file must not end hours of search.

    A line in the log says how many masks there are, and how many are used.

    Raises DatasetError when too many are broken, a mask has another size, or there is nothing to measure.
    """
    kinds = {GOOD: split.test_good, **split.test_abnormal}
    readable: dict[str, tuple[str, ...]] = {}
    skipped: list[str] = []
    masks = MaskCounts()
    for kind, names in kinds.items():
        usable = []
        for name, frame in tqdm(read_each(source, names, skipped), total=len(names), desc=f"checking {kind}", delay=2):
            if kind != GOOD:
                masks.add(source.mask(name, (frame.shape[0], frame.shape[1])))
            usable.append(name)
        if usable:
            readable[kind] = tuple(usable)
    if not set(readable) - {GOOD}:
        raise DatasetError(f"{source.place}: an evaluation needs abnormal test images, but there are none; {ADD}")
    masks.say("abnormal test image", source.mask_files, source.place)
    if GOOD not in readable and not masks.used:
        raise DatasetError(
            f"{source.place}: an evaluation needs normal test images, or masks of abnormal ones; "
            "there are neither; add some"
        )
    return CheckedImages(readable, skipped)


def _inspect_again(
    inspector: Inspector, subject: Subject, source: ImageSource, readable: Mapping[str, tuple[str, ...]]
) -> EvaluationAccumulator:
    accumulator, groups = EvaluationAccumulator(subject), source.groups()
    with tqdm(total=sum(map(len, readable.values())), unit="img", desc="without the search") as bar:
        for kind, names in readable.items():
            frames = read_each(source, names, accumulator.skipped)
            for name, frame, result, seconds in inspect_all(inspector, frames):
                mask = None if kind == GOOD else source.mask(name, (frame.shape[0], frame.shape[1]))
                group = groups.get(name, name)
                accumulator.add(name, kind, group, frame, result.score, {}, result.anomaly_map, mask)
                accumulator.seconds += seconds
                bar.update()
    return accumulator


def inspect_all(
    inspector: Inspector, frames: Iterable[tuple[str, UInt8]]
) -> Iterator[tuple[str, UInt8, InspectionResult, float]]:
    """Yield (name, frame, result, seconds) in order; `ahead` frames of the reconstructor are in flight."""
    pending: deque[tuple[str, UInt8, Callable[[], InspectionResult], float]] = deque()
    for name, frame in frames:
        start = perf_counter()
        pending.append((name, frame, inspector.begin(frame), perf_counter() - start))
        if len(pending) >= inspector.reconstructor.ahead:
            yield _finish(*pending.popleft())
    while pending:
        yield _finish(*pending.popleft())


def save_plots(out: Path, scores: Scores) -> None:
    """Draw histograms and, where there are normal images, ROC and precision-recall."""
    save_scores(out / "scores.png", {"test images": scores})
    if GOOD in scores.kinds:
        curves = by_defect(scores)
        if len(curves) > 1:
            curves["all defects"] = all_defects(scores)
        save_roc(out / "roc.png", curves, dict.fromkeys(curves, scores.threshold))
        save_precision_recall(out / "precision_recall.png", curves)


def limited(split: Split, limit: int | None, seed: int) -> Split:
    """The split with at most `limit` test images of each kind, chosen by `seed`."""
    if limit is None:
        return split
    rng = np.random.default_rng(seed)

    def some(names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(sorted(names[i] for i in rng.permutation(len(names))[:limit]))

    abnormal = {defect: some(names) for defect, names in split.test_abnormal.items()}
    return replace(split, test_good=some(split.test_good), test_abnormal=abnormal)


def _finish(
    name: str, frame: UInt8, finish: Callable[[], InspectionResult], seconds: float
) -> tuple[str, UInt8, InspectionResult, float]:
    start = perf_counter()
    result = finish()
    return name, frame, result, seconds + perf_counter() - start
