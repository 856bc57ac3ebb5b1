"""How surely an abnormal image lies above a normal one, component by component: what weights are made of.

A made defect lies on a frame that is among the normal images. So what it changes is known, and that alone counts: it is
put on every normal image. Compared as strangers, a few dozen made defects would tell more about the parts that happened
to get one than about defects.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float64]


def wins(normal: Float, abnormal: Float, shares: Float) -> Float:
    """P(each abnormal image is larger than a normal one) [images, K], ties counting half.

    normal  [n, K], abnormal [images, K]
    shares  [n] how much each normal image counts
    """
    columns = zip(normal.T, abnormal.T, strict=True)
    return np.stack([_share_below(low, shares, high) for low, high in columns], axis=1)


def made_wins(normal: Float, changes: Float, shares: Float) -> Float:
    """P(a normal image with the change is larger than another one) [images, K], ties counting half.

    normal   [n, K]
    changes  [images, K] what each made defect adds to the image that it was put on
    shares   [n] how much each normal image counts
    """
    found = np.zeros(changes.shape)
    for low, change, column in zip(normal.T, changes.T, found.T, strict=True):
        changed = low[None, :] + change[:, None]
        column[:] = _share_below(low, shares, changed.ravel()).reshape(changed.shape) @ shares / shares.sum()
    return found


def _share_below(values: Float, shares: Float, points: Float) -> Float:
    """The share of the values below each of the points, of equal ones half."""
    order = np.argsort(values, kind="stable")
    below = np.concatenate([[0.0], np.cumsum(shares[order])]) / shares.sum()
    left, right = (np.searchsorted(values[order], points, side) for side in ("left", "right"))
    return np.asarray((below[left] + below[right]) / 2, np.float64)
