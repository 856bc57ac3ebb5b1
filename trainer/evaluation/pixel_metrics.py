"""Detection quality over pixels: pixel AUROC and AUPRO, over any number of large images in bounded memory.

Only histograms of the anomaly map stay in memory: one of the normal pixels of each image, and one of each abnormal
region. A bin is 1/256 of its value wide, whatever the range; inside a bin the curves are straight.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from trainer.evaluation.metrics import auroc_of_counts

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Float = npt.NDArray[np.float64]
Histogram = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]  # used bins, pixels in each
FPR_LIMIT = 0.3  # AUPRO integrates up to this false-positive rate (Bergmann et al. 2019)
_DROPPED_BITS = 15  # of a float32: sign, exponent and 8 bits of the fraction stay
_BINS = 1 << (32 - _DROPPED_BITS)


@dataclass
class PixelCounts:
    """Histograms of the anomaly maps of images."""

    _normal: list[Histogram] = field(default_factory=list)
    _regions: list[Histogram] = field(default_factory=list)
    _image_of: list[int] = field(default_factory=list)

    def add(self, anomaly_map: npt.NDArray[np.float32], mask: npt.NDArray[np.bool_]) -> None:
        """Add one image, map and mask [H, W]; the 8-connected components of the mask (True: abnormal) are the regions.

        Raises ValueError when the map is not finite everywhere.
        """
        if not np.isfinite(anomaly_map).all():
            raise ValueError("the anomaly map holds values that are not finite")
        bins = _bins(anomaly_map)
        count, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
        self._normal.append(_histogram(bins[~mask]))
        for region in range(1, count):
            self._regions.append(_histogram(bins[labels == region]))
            self._image_of.append(len(self._normal) - 1)

    def __len__(self) -> int:
        """The number of images."""
        return len(self._normal)

    @property
    def complete(self) -> bool:
        """Whether there are normal and abnormal pixels; without both there is no figure."""
        return bool(self._regions) and any(pixels.sum() for _, pixels in self._normal)

    def curves(self) -> PixelCurves:
        """The histograms of all images, for the metrics; only when `complete`."""
        rows = self._normal + self._regions
        bins = np.unique(np.concatenate([b for b, _ in rows]))
        return PixelCurves(_matrix(self._normal, bins), _matrix(self._regions, bins), np.array(self._image_of))


@dataclass(frozen=True)
class PixelCurves:
    """Histogram at K increasing values of the map.

    normal    normal pixels of each image, [images, K]
    regions   pixels of each abnormal region, [R, K]
    image_of  index of the image that a region belongs to, [R]
    """

    normal: csr_array
    regions: csr_array
    image_of: npt.NDArray[np.int64]

    def auroc(self, weights: Float | None = None) -> Float:
        """Pixel AUROC [n] of n resamples; weights [n, images] say how often each image is taken, None: once."""
        weights = self._weights(weights)
        return auroc_of_counts(weights @ self.normal, weights[:, self.image_of] @ self.regions)

    def aupro(self, weights: Float | None = None) -> Float:
        """AUPRO [n] of n resamples; weights as in `auroc`.

        The area under the per-region overlap over the false-positive rate up to FPR_LIMIT, scaled to [0, 1]. Overlap is
        the share of a region's pixels above the threshold, averaged over regions of any size alike (Bergmann et al.
        2019, "MVTec AD", §4.2).
        """
        weights = self._weights(weights)
        shares = self.regions.multiply(1 / self.regions.sum(axis=1)[:, None]).tocsr()
        overlap = _share_above(weights[:, self.image_of] @ shares)
        false_alarms = _share_above(weights @ self.normal)
        return np.array([_area(x, y, FPR_LIMIT) for x, y in zip(false_alarms, overlap, strict=True)])

    def select(self, images: Sequence[int]) -> PixelCurves:
        """The curves of the images with these indices."""
        new_index = np.full(self.normal.shape[0], -1)
        new_index[list(images)] = np.arange(len(images))
        kept = np.flatnonzero(new_index[self.image_of] >= 0)
        return PixelCurves(self.normal[list(images)], self.regions[kept], new_index[self.image_of[kept]])

    def _weights(self, weights: Float | None) -> Float:
        return np.ones((1, self.normal.shape[0])) if weights is None else weights


def _bins(plane: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """The bin of each float32 value, in [0, _BINS), in the order of the values: upper bits, reversed for negatives."""
    bits = (np.ascontiguousarray(plane, np.float32) + np.float32(0)).view(np.int32)  # + 0: no negative zero
    ordered = bits ^ ((bits >> 31) & 0x7FFFFFFF)
    return np.asarray((ordered >> _DROPPED_BITS) + _BINS // 2, dtype=np.int64)


def _histogram(bins: npt.NDArray[np.int64]) -> Histogram:
    pixels = np.bincount(bins, minlength=_BINS)
    used = np.flatnonzero(pixels)
    return used, pixels[used]


def _matrix(rows: Sequence[Histogram], bins: npt.NDArray[np.int64]) -> csr_array:
    from scipy.sparse import csr_array  # takes half a second, and a training evaluates nothing

    starts = np.cumsum([0, *(len(b) for b, _ in rows)])
    columns = np.searchsorted(bins, np.concatenate([b for b, _ in rows]))
    pixels = np.concatenate([p for _, p in rows]).astype(np.float64)
    return csr_array((pixels, columns, starts), shape=(len(rows), len(bins)))


def _share_above(counts: Float) -> Float:
    """Share of each row at or above a decreasing threshold, from 0 to 1: [n, K] -> [n, K + 1]."""
    above = counts[:, ::-1].cumsum(axis=1)
    return np.pad(above / above[:, -1:], ((0, 0), (1, 0)))


def _area(x: Float, y: Float, limit: float) -> float:
    """Mean height of the polyline (x, y) over [0, limit]; x increases from 0 to 1."""
    last = int(np.searchsorted(x, limit, side="right"))
    # cut the polyline at the limit
    height = y[-1] if last == len(x) else np.interp(limit, x[last - 1 : last + 1], y[last - 1 : last + 1])
    x, y = np.r_[x[:last], limit], np.r_[y[:last], height]
    return float((np.diff(x) * (y[1:] + y[:-1]) / 2).sum() / limit)
