"""Detection quality by pixel: pixel AUROC and AUPRO, over any number of large images in bounded memory.

Of each image only counts stay: how many normal pixels, and how many of each abnormal region, have which value of the
anomaly map. Values are told apart to 1 part in 256, whatever their range; inside such a bin the curves are straight.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from trainer.evaluation.metrics import auroc_of_counts

Float = npt.NDArray[np.float64]
Counts = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]  # bins, pixels in them
FPR_LIMIT = 0.3  # AUPRO integrates up to it (Bergmann et al. 2019)
_DROPPED_BITS = 15  # of a float32: sign, exponent and 8 bits of the fraction stay
_BINS = 1 << (32 - _DROPPED_BITS)


@dataclass
class PixelCounts:
    """Pixels of images, counted by value of the anomaly map."""

    _normal: list[Counts] = field(default_factory=list)
    _regions: list[Counts] = field(default_factory=list)
    _owner: list[int] = field(default_factory=list)

    def add(self, anomaly_map: npt.NDArray[np.float32], mask: npt.NDArray[np.bool_]) -> None:
        """Count one image, [H, W] each; `mask` is True where abnormal, its 8-connected components are the regions.

        Raises ValueError when the map holds a value that is not finite.
        """
        if not np.isfinite(anomaly_map).all():
            raise ValueError("the anomaly map holds values that are not finite")
        bins = _bins(anomaly_map)
        count, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
        self._normal.append(_counts(bins[~mask]))
        for region in range(1, count):
            self._regions.append(_counts(bins[labels == region]))
            self._owner.append(len(self._normal) - 1)

    def __len__(self) -> int:
        """Images."""
        return len(self._normal)

    @property
    def complete(self) -> bool:
        """Whether there is a normal and an abnormal pixel: without, there is no figure."""
        return bool(self._regions) and any(pixels.sum() for _, pixels in self._normal)

    def curves(self) -> PixelCurves:
        """Everything counted, ready for the metrics; only when `complete`."""
        rows = self._normal + self._regions
        bins = np.unique(np.concatenate([b for b, _ in rows]))
        return PixelCurves(_matrix(self._normal, bins), _matrix(self._regions, bins), np.array(self._owner))


@dataclass(frozen=True)
class PixelCurves:
    """Counts over K rising values of the map: normal [images, K], regions [R, K]; owner [R] is a region's image."""

    normal: csr_array
    regions: csr_array
    owner: npt.NDArray[np.int64]

    def auroc(self, weights: Float | None = None) -> Float:
        """Pixel AUROC of images taken so many times each, weights [n, images] -> [n]; None: each once."""
        weights = self._weights(weights)
        return auroc_of_counts(weights @ self.normal, weights[:, self.owner] @ self.regions)

    def aupro(self, weights: Float | None = None) -> Float:
        """Area under the per-region overlap over the false-positive rate up to FPR_LIMIT, scaled to [0, 1]; as `auroc`.

        Overlap is the share of a region's pixels above the threshold, averaged over regions: each counts the same,
        whatever its size (Bergmann et al. 2019, "MVTec AD", §4.2).
        """
        weights = self._weights(weights)
        shares = self.regions.multiply(1 / self.regions.sum(axis=1)[:, None]).tocsr()
        overlap = _falling(weights[:, self.owner] @ shares)
        false_alarms = _falling(weights @ self.normal)
        return np.array([_area(x, y, FPR_LIMIT) for x, y in zip(false_alarms, overlap, strict=True)])

    def select(self, images: Sequence[int]) -> PixelCurves:
        """The curves of some images alone."""
        place = np.full(self.normal.shape[0], -1)
        place[list(images)] = np.arange(len(images))
        kept = np.flatnonzero(place[self.owner] >= 0)
        return PixelCurves(self.normal[list(images)], self.regions[kept], place[self.owner[kept]])

    def _weights(self, weights: Float | None) -> Float:
        return np.ones((1, self.normal.shape[0])) if weights is None else weights


def _bins(plane: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """Rising integers in [0, _BINS) of rising float32 values: their upper bits, with the order of negatives turned."""
    bits = (np.ascontiguousarray(plane, np.float32) + np.float32(0)).view(np.int32)  # + 0: no negative zero
    ordered = bits ^ ((bits >> 31) & 0x7FFFFFFF)
    return np.asarray((ordered >> _DROPPED_BITS) + _BINS // 2, dtype=np.int64)


def _counts(bins: npt.NDArray[np.int64]) -> Counts:
    pixels = np.bincount(bins, minlength=_BINS)
    used = np.flatnonzero(pixels)
    return used, pixels[used]


def _matrix(rows: Sequence[Counts], bins: npt.NDArray[np.int64]) -> csr_array:
    starts = np.cumsum([0, *(len(b) for b, _ in rows)])
    columns = np.searchsorted(bins, np.concatenate([b for b, _ in rows]))
    pixels = np.concatenate([p for _, p in rows]).astype(np.float64)
    return csr_array((pixels, columns, starts), shape=(len(rows), len(bins)))


def _falling(counts: Float) -> Float:
    """Share of each row at or above a falling threshold, from 0 to 1: [n, K + 1]."""
    above = counts[:, ::-1].cumsum(axis=1)
    return np.pad(above / above[:, -1:], ((0, 0), (1, 0)))


def _area(x: Float, y: Float, limit: float) -> float:
    """Mean height of the polyline (x, y) over [0, limit]; x rises from 0 to 1."""
    last = int(np.searchsorted(x, limit, side="right"))
    # past the limit the polyline is cut, at the height it has there
    height = y[-1] if last == len(x) else np.interp(limit, x[last - 1 : last + 1], y[last - 1 : last + 1])
    x, y = np.r_[x[:last], limit], np.r_[y[:last], height]
    return float((np.diff(x) * (y[1:] + y[:-1]) / 2).sum() / limit)
