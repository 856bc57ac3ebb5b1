"""Plots of an evaluation: score histograms, ROC, anomaly maps side by side."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from sklearn.metrics import roc_curve

from latentline.atomic import write_bytes
from latentline.panels import HEAT_FULL_SCALE

Map = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


def save_scores(path: Path, scores: Mapping[str, Sequence[float]], threshold: float) -> None:
    """Histogram of the scores of each kind (`good` first), with the calibrated threshold."""
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.subplots()
    everything = np.concatenate([np.asarray(s) for s in scores.values()])
    bins = np.linspace(float(everything.min()), float(np.percentile(everything, 99)), 50)
    for kind, values in scores.items():
        good = kind == "good"
        style: dict[str, Any] = {"color": "0.6", "alpha": 0.9} if good else {"histtype": "step", "lw": 1.6}
        axes.hist(np.clip(values, bins[0], bins[-1]), bins.tolist(), label=f"{kind} ({len(values)})", **style)
    axes.axvline(threshold, color="k", ls="--", lw=1, label="threshold")
    axes.set_xlabel("anomaly score (the last bin holds what is above it)")
    axes.set_ylabel("test images")
    axes.legend()
    _save(figure, path)


def save_roc(path: Path, scores: Mapping[str, Sequence[float]], threshold: float) -> None:
    """ROC of each kind of defect against `good`, and where the calibrated threshold lies on it."""
    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.subplots()
    normal = np.asarray(scores["good"])
    for kind in (k for k in scores if k != "good"):
        abnormal = np.asarray(scores[kind])
        labels = np.r_[np.zeros(len(normal)), np.ones(len(abnormal))]
        false_alarms, detections, _ = roc_curve(labels, np.r_[normal, abnormal])
        (line,) = axes.plot(false_alarms, detections, label=kind)
        axes.plot((normal > threshold).mean(), (abnormal > threshold).mean(), "o", color=line.get_color())
    axes.plot([0, 1], [0, 1], color="0.8", lw=1)
    axes.set_xlabel("false-alarm rate")
    axes.set_ylabel("detection rate (dots: at the calibrated threshold)")
    axes.legend()
    _save(figure, path)


def save_maps(path: Path, maps: Mapping[str, tuple[Map, Mask | None]]) -> None:
    """Anomaly maps on one scale, ground truth outlined; no pixel of the images themselves."""
    figure = Figure(figsize=(2.6 * len(maps) + 0.8, 4), layout="constrained")
    columns = figure.subplots(1, len(maps), squeeze=False)[0]
    for axes, (kind, (plane, mask)) in zip(columns, maps.items(), strict=True):
        shown = axes.imshow(plane, cmap="inferno", vmin=0, vmax=HEAT_FULL_SCALE)
        if mask is not None and mask.any():
            axes.contour(mask, levels=[0.5], colors="lime", linewidths=0.8)
        axes.set_title(kind)
        axes.set_xticks([])
        axes.set_yticks([])
    figure.colorbar(shown, ax=list(columns), label="standard deviations of normal")
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    write_bytes(path, buffer.getvalue())
