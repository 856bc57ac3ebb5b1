"""Plots of one evaluation or several: score histograms, ROC, precision and recall, anomaly maps."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from latentline.base.atomic import write_bytes
from latentline.inspection.panels import HEAT_FULL_SCALE
from trainer.evaluation.report import GOOD, Scores

if TYPE_CHECKING:  # matplotlib and scikit-learn are loaded by the functions that use them: it takes a second
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Map = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Classes = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]  # scores of normal and of abnormal images


def save_scores(path: Path, runs: Mapping[str, Scores]) -> None:
    """A row for each run: histograms of the scores of each kind, that of normal images filled, and the threshold."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 0.8 + 3.2 * len(runs)), layout="constrained")
    for axes, (name, scores) in zip(figure.subplots(len(runs), 1, squeeze=False)[:, 0], runs.items(), strict=True):
        _histogram(axes, scores)
        axes.set_title(name)
    _save(figure, path)


def by_defect(scores: Scores) -> dict[str, Classes]:
    """The scores of normal images and of each kind of defect, for ROC and precision-recall."""
    return {kind: (scores.of(GOOD), scores.of(kind)) for kind in scores.kinds if kind != GOOD}


def all_defects(scores: Scores) -> Classes:
    """The scores of normal images and of all abnormal ones."""
    return scores.of(GOOD), np.concatenate([scores.of(kind) for kind in scores.kinds if kind != GOOD])


def save_roc(path: Path, curves: Mapping[str, Classes], thresholds: Mapping[str, float | None]) -> None:
    """ROC of each entry, with a dot at its calibrated threshold."""
    from sklearn.metrics import roc_curve

    figure, axes = _square("false-alarm rate", "detection rate (dots: at the calibrated threshold)")
    for name, (normal, abnormal) in curves.items():
        false_alarms, detections, _ = roc_curve(*_labelled(normal, abnormal))
        (line,) = axes.plot(false_alarms, detections, label=name)
        if (threshold := thresholds.get(name)) is not None:
            axes.plot((normal > threshold).mean(), (abnormal > threshold).mean(), "o", color=line.get_color())
    axes.plot([0, 1], [0, 1], color="0.8", lw=1)
    axes.legend(loc="lower right")
    _save(figure, path)


def save_precision_recall(path: Path, curves: Mapping[str, Classes]) -> None:
    """Precision over recall of each entry; dotted: the precision of an alarm for every image."""
    from sklearn.metrics import precision_recall_curve

    figure, axes = _square("recall: share of abnormal images found", "precision: share of alarms that are true")
    for name, (normal, abnormal) in curves.items():
        precision, recall, _ = precision_recall_curve(*_labelled(normal, abnormal))
        (line,) = axes.step(recall, precision, where="post", label=name)
        axes.axhline(len(abnormal) / (len(normal) + len(abnormal)), color=line.get_color(), ls=":", lw=1)
    axes.legend(loc="lower left")
    _save(figure, path)


def save_maps(path: Path, maps: Mapping[str, tuple[Map, Mask | None]]) -> None:
    """Anomaly maps on one scale with the ground truth outlined; they show no pixel of the images."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2.6 * len(maps) + 0.8, 4), layout="constrained")
    columns = figure.subplots(1, len(maps), squeeze=False)[0]
    for axes, (kind, (plane, mask)) in zip(columns, maps.items(), strict=True):
        drawn = axes.imshow(plane, cmap="inferno", vmin=0, vmax=HEAT_FULL_SCALE)
        if mask is not None and mask.any():
            axes.contour(mask, levels=[0.5], colors="lime", linewidths=0.8)
        axes.set_title(kind)
        axes.set_xticks([])
        axes.set_yticks([])
    figure.colorbar(drawn, ax=list(columns), label="standard deviations of normal frames")
    _save(figure, path)


def _histogram(axes: Axes, scores: Scores) -> None:
    everything = np.array([image.score for image in scores.images.values()])
    bins = np.linspace(float(everything.min()), max(float(np.percentile(everything, 99)), everything.min() + 1e-6), 50)
    for kind in scores.kinds:
        style: dict[str, Any] = (
            {"color": "0.6", "alpha": 0.9} if kind == GOOD else {"histtype": "step", "linewidth": 1.6}
        )
        values = scores.of(kind)
        axes.hist(np.clip(values, bins[0], bins[-1]), bins.tolist(), label=f"{kind} ({len(values)})", **style)
    if scores.threshold is not None:
        axes.axvline(scores.threshold, color="k", ls="--", lw=1, label="threshold")
    axes.set_xlabel("anomaly score (the last bin includes all higher scores)")
    axes.set_ylabel("test images")
    axes.legend()


def _square(across: str, up: str) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.5, 5.5), layout="constrained")
    axes = figure.subplots()
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(-0.01, 1.01)
    return figure, axes


def _labelled(normal: npt.NDArray[np.float64], abnormal: npt.NDArray[np.float64]) -> Classes:
    return np.r_[np.zeros(len(normal)), np.ones(len(abnormal))], np.r_[normal, abnormal]


def _save(figure: Figure, path: Path) -> None:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    write_bytes(path, buffer.getvalue())
