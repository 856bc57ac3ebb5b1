"""Detection quality over images: AUROC and F1-max, plain and for many resamples at once.

The plain figures are scikit-learn's, which takes long to load and is loaded when they are computed; for a thousand
resamples its functions would take minutes.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


def image_auroc(normal: Float, abnormal: Float) -> float:
    """Probability that an abnormal image scores above a normal one; ties count half."""
    from sklearn.metrics import roc_auc_score

    labels = np.r_[np.zeros(len(normal)), np.ones(len(abnormal))]
    return float(roc_auc_score(labels, np.r_[normal, abnormal]))


def f1_max(normal: Float, abnormal: Float) -> tuple[float, float]:
    """The largest F1 over all thresholds, and its threshold; a score at or above it counts as abnormal."""
    from sklearn.metrics import precision_recall_curve

    labels = np.r_[np.zeros(len(normal)), np.ones(len(abnormal))]
    precision, recall, thresholds = precision_recall_curve(labels, np.r_[normal, abnormal])
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    best = int(np.argmax(f1[:-1]))
    return float(f1[best]), float(thresholds[best])


def weighted_auroc(scores: Float, abnormal: Flags, weights: Float) -> Float:
    """`image_auroc` [n] of n resamples: scores and flags [N], weights [n, N] say how often each image is taken."""
    normals, abnormals = _class_counts(scores, abnormal, weights)
    return auroc_of_counts(normals, abnormals)


def weighted_f1_max(scores: Float, abnormal: Flags, weights: Float) -> Float:
    """`f1_max` [n] of n resamples: scores and flags [N], weights [n, N] say how often each image is taken."""
    normals, abnormals = _class_counts(scores, abnormal, weights)
    hits = abnormals[:, ::-1].cumsum(axis=1)
    alarms = normals[:, ::-1].cumsum(axis=1)
    f1: Float = 2 * hits / np.maximum(hits + alarms + hits[:, -1:], 1e-12)
    return np.asarray(f1.max(axis=1))


def auroc_of_counts(normal: Float, abnormal: Float) -> Float:
    """AUROC [n] from counts [n, K] of each class at K increasing values; ties count half."""
    below = normal.cumsum(axis=1) - normal / 2
    return np.asarray((abnormal * below).sum(axis=1) / (normal.sum(axis=1) * abnormal.sum(axis=1)))


def _class_counts(scores: Float, abnormal: Flags, weights: Float) -> tuple[Float, Float]:
    """Sums of the weights of normal and abnormal images at each distinct score, increasing, [n, K] each."""
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(scores[order]) > 0])
    taken = weights[:, order]
    flags = abnormal[order]
    return np.add.reduceat(taken * ~flags, starts, axis=1), np.add.reduceat(taken * flags, starts, axis=1)
