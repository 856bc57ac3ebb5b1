"""The tables of bench.detection.coverage, made of the lines of results.jsonl alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from bench.detection.protocol.tables import Table
from bench.detection.reconstruction.contrast import Contrast, Residual
from bench.detection.reconstruction.measurement import (
    BaselineMeasurement,
    Measurement,
    ModelMeasurement,
    SearchMeasurement,
)
from trainer.evaluation.intervals import Estimate
from trainer.evaluation.report import EvaluationReport

LEGEND = (
    "A number is the mean over the seeds; brackets have the numbers of the seeds in their order, a dash where there is "
    "none. Intervals over test images are in results.jsonl."
)
Value = TypeVar("Value")
Figure = Callable[[Value], float | None]
Row = Mapping[int, Value]  # by seed

_REPORT: dict[str, Figure[EvaluationReport]] = {
    "image AUROC": lambda report: _value(report.image_auroc),
    "pixel AUROC": lambda report: _value(report.pixel_auroc),
    "AUPRO": lambda report: _value(report.aupro),
}
_SEARCH: dict[str, Figure[SearchMeasurement]] = {
    "explained": lambda search: None if search.coverage is None else search.coverage.explained,
    "PCA, as many components": lambda search: None if search.coverage is None else search.coverage.pca,
    "ms a tile": lambda search: search.milliseconds_a_tile,
}
_MODEL: dict[str, Figure[ModelMeasurement]] = {
    "numbers in z": lambda model: model.latent_size,
    "images shown": lambda model: model.images_shown,
    "training, min": lambda model: model.minutes,
    "a pixel's deviation over G(z)": lambda model: None if model.samples is None else model.samples.samples,
    "over real tiles": lambda model: None if model.samples is None else model.samples.real,
    "verdict alone, image AUROC": lambda model: _value(model.verdict),
}
_GROUPS: dict[str, Callable[[Contrast], Residual | None]] = {
    "held-out normal": lambda contrast: contrast.held_out,
    "known abnormal": lambda contrast: contrast.known_abnormal,
    "test, kinds shown": lambda contrast: contrast.all_kinds(shown=True),
    "test, kinds never shown": lambda contrast: contrast.all_kinds(shown=False),
}


def coverage_tables(lines: Sequence[Measurement]) -> list[Table]:
    """Models, searches, contrast in two measures, and maps alone; a row for each search of each method."""
    models = _by_seed([line for line in lines if isinstance(line, ModelMeasurement)], lambda line: line.method)
    baselines = _by_seed([line for line in lines if isinstance(line, BaselineMeasurement)], lambda line: line.baseline)
    seeds = sorted({line.seed for line in lines})
    made, found = Table("models"), Table("what a search finds")
    contrast = Table("contrast: mean squared residual in masks of defects, over that of normal tiles")
    explained, maps = Table("share of the variance explained, of defects in their masks"), Table("maps alone")
    for method, row in models.items():
        made.add(method, _cells(_MODEL, row, seeds))
        for name in dict.fromkeys(name for model in row.values() for name in model.searches):
            searches = {seed: model.searches[name] for seed, model in row.items() if name in model.searches}
            title = f"{method}, {name}"
            found.add(title, _cells(_SEARCH, searches, seeds))
            contrasts = {seed: search.contrast for seed, search in searches.items()}
            contrast.add(title, _cells(_ratios(contrasts), contrasts, seeds))
            explained.add(title, _cells(_shares(contrasts), contrasts, seeds))
            for kind in dict.fromkeys(kind for search in searches.values() for kind in search.maps):
                reports = {seed: search.maps[kind] for seed, search in searches.items() if kind in search.maps}
                maps.add(f"{title}, map {kind}", _cells(_REPORT, reports, seeds))
    for name, baseline in baselines.items():
        reports = {seed: line.report for seed, line in baseline.items()}
        maps.add(f"no model: {name}", _cells(_REPORT, reports, seeds))
    return [made, found, contrast, explained, maps]


def over_seeds(values: Sequence[float | None]) -> str | None:
    """The mean of the numbers, in brackets each of them; none for one seed, or for counts that are all equal.

    None where there is no number.
    """
    known = [value for value in values if value is not None]
    if not known:
        return None
    texts = ["–" if value is None else _text(value) for value in values]
    if len(values) == 1 or (len(set(texts)) == 1 and isinstance(values[0], int)):
        return texts[0]
    mean = sum(known) / len(known)
    return f"{_text(round(mean) if all(isinstance(value, int) for value in known) else mean)} ({', '.join(texts)})"


def _ratios(contrasts: Row[Contrast]) -> dict[str, Figure[Contrast]]:
    def ratio(of: Callable[[Contrast], Residual | None]) -> Figure[Contrast]:
        return lambda contrast: contrast.ratio(of(contrast))

    of_normal: dict[str, Figure[Contrast]] = {"residual of normal tiles": lambda contrast: contrast.normal.mean_square}
    return {**of_normal, **{title: ratio(of) for title, of in _groups(contrasts).items()}}


def _shares(contrasts: Row[Contrast]) -> dict[str, Figure[Contrast]]:
    def share(of: Callable[[Contrast], Residual | None]) -> Figure[Contrast]:
        return lambda contrast: None if (residual := of(contrast)) is None else residual.explained

    of_normal: dict[str, Figure[Contrast]] = {"normal tiles": lambda contrast: contrast.normal.explained}
    return {**of_normal, **{title: share(of) for title, of in _groups(contrasts).items()}}


def _groups(contrasts: Row[Contrast]) -> dict[str, Callable[[Contrast], Residual | None]]:
    """The groups of tiles, and each kind of test defect by itself."""

    def one(kind: str) -> Callable[[Contrast], Residual | None]:
        return lambda contrast: contrast.kinds.get(kind)

    return {**_GROUPS, **{kind: one(kind) for kind in sorted({k for c in contrasts.values() for k in c.kinds})}}


def _cells(figures: Mapping[str, Figure[Value]], row: Row[Value], seeds: Sequence[int]) -> dict[str, str | None]:
    return {
        title: over_seeds([figure(row[seed]) if seed in row else None for seed in seeds])
        for title, figure in figures.items()
    }


Line = TypeVar("Line", ModelMeasurement, BaselineMeasurement)


def _by_seed(lines: Sequence[Line], name: Callable[[Line], str]) -> dict[str, dict[int, Line]]:
    rows: dict[str, dict[int, Line]] = {}
    for line in lines:
        rows.setdefault(name(line), {})[line.seed] = line
    return rows


def _value(estimate: Estimate | None) -> float | None:
    return None if estimate is None else estimate.value


def _text(value: float) -> str:
    """Counts and large numbers whole, others with three decimals, small ones with three digits that count."""
    if isinstance(value, int) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3f}" if abs(value) >= 0.1 else f"{value:.3g}"
