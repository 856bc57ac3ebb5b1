"""Detection quality: image AUROC, F1-max, pixel AUROC. The curves are scikit-learn's."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from sklearn.metrics import precision_recall_curve, roc_auc_score

PIXEL_BINS = 4096


def image_auroc(normal: npt.NDArray[np.float64], abnormal: npt.NDArray[np.float64]) -> float:
    """Chance that an abnormal image scores above a normal one; ties count half."""
    labels = np.r_[np.zeros(len(normal)), np.ones(len(abnormal))]
    return float(roc_auc_score(labels, np.r_[normal, abnormal]))


def f1_max(normal: npt.NDArray[np.float64], abnormal: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Largest F1 over all thresholds and the threshold (abnormal at or above it) where it is reached."""
    labels = np.r_[np.zeros(len(normal)), np.ones(len(abnormal))]
    precision, recall, thresholds = precision_recall_curve(labels, np.r_[normal, abnormal])
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    best = int(np.argmax(f1[:-1]))
    return float(f1[best]), float(thresholds[best])


@dataclass
class PixelAuroc:
    """Pixel AUROC over any number of images in constant memory, from histograms of log(1 + map).

    The value is exact up to ties inside a bin; bins are 1/4096 of the range [0, 1000] in that scale.
    """

    normal: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(PIXEL_BINS, np.int64))
    abnormal: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(PIXEL_BINS, np.int64))

    def add(self, anomaly_map: npt.NDArray[np.float32], mask: npt.NDArray[np.bool_]) -> None:
        """Count the pixels of one image; `mask` True where abnormal, same shape [H, W]."""
        scale = PIXEL_BINS / np.log1p(1000.0)
        bins = np.clip(np.log1p(np.maximum(anomaly_map, 0)) * scale, 0, PIXEL_BINS - 1).astype(np.int64)
        self.normal += np.bincount(bins[~mask], minlength=PIXEL_BINS)
        self.abnormal += np.bincount(bins[mask], minlength=PIXEL_BINS)

    def value(self) -> float | None:
        """The AUROC, or None when a class is missing."""
        if not self.normal.sum() or not self.abnormal.sum():
            return None
        below = np.cumsum(self.normal) - self.normal / 2
        return float((self.abnormal * below).sum() / (self.abnormal.sum() * self.normal.sum()))
