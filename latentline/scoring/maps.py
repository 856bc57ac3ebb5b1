"""Anomaly maps: the difference of frame and reconstruction, in standard deviations of normal frames."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from latentline.search.searched_frame import MapKind, SearchedFrame

Float = npt.NDArray[np.float32]
UInt8 = npt.NDArray[np.uint8]

PATCH = "d_patch"


@dataclass(frozen=True)
class PixelStatistics:
    """How normal frames differ from their reconstructions.

    mean, std         [C, S, S] for each pixel of a tile
    scales            standard deviations of the pooling Gaussians, pixels; 0: not pooled
    pooled_std        [len(scales)] root mean square of the pooled, standardised difference
    kind              which difference: `SearchedFrame.difference`
    patch_statistics  mean and standard deviation of `SearchedFrame.patch_map`; None: the patch head has no map
    """

    mean: Float
    std: Float
    scales: tuple[float, ...]
    pooled_std: Float
    kind: MapKind = "residual"
    patch_statistics: tuple[float, float] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The name of each map, which is the name of its component."""
        pooled = tuple(f"{self.kind}_{scale:g}px" for scale in self.scales)
        return pooled if self.patch_statistics is None else (*pooled, PATCH)

    def maps(self, searched: SearchedFrame) -> Float:
        """Anomaly maps [len(names), h, w] of the prepared frame, at least 0, in standard deviations of normal frames.

        The difference is standardised for each tile pixel, blended over the frame, and pooled by a Gaussian: noise
        cancels, a coherent difference does not. Channels are joined by the root mean square where the difference is
        signed, and by the mean where only a larger difference than usual is abnormal.
        """
        planes = self.planes(searched)
        return np.maximum(planes, 0, out=planes)

    def planes(self, searched: SearchedFrame) -> Float:
        """`maps` with their negative values."""
        standardised = (searched.difference(self.kind) - self.mean) / self.std
        blended = searched.blend(standardised.transpose(0, 2, 3, 1))
        planes = np.zeros((len(self.names), *blended.shape[:2]), np.float32)
        for plane, scale, std in zip(planes, self.scales, self.pooled_std, strict=False):
            for top, bottom, left, right in searched.regions(reach(scale)):
                plane[top:bottom, left:right] = self._joined(pool(blended[top:bottom, left:right], scale) / std)
        if self.patch_statistics is not None:
            patch_map = searched.patch_map()
            if patch_map is None:
                raise ValueError("the patch head's map needs a searcher that gives patch logits")
            planes[-1] = self.standardise_patch_map(patch_map)
        return planes

    def _joined(self, pooled: Float) -> Float:
        """The channels of a pooled difference [H, W, C] as one plane [H, W]."""
        signed = self.kind == "residual"
        if pooled.shape[2] == 1:
            return np.abs(pooled[:, :, 0]) if signed else pooled[:, :, 0]
        return np.asarray(np.sqrt(np.square(pooled).mean(axis=2)) if signed else pooled.mean(axis=2), np.float32)

    def standardise_patch_map(self, patch_map: Float) -> Float:
        """`SearchedFrame.patch_map` in standard deviations of normal frames."""
        assert self.patch_statistics is not None
        mean, std = self.patch_statistics
        return np.asarray((patch_map - mean) / std, np.float32)

    def peaks(self, maps: Float) -> dict[str, float]:
        """Raw component of each map: its largest value, as a logarithm where the map has no bound."""
        largest = dict(zip(self.names, (float(plane.max()) for plane in maps), strict=True))
        floor = 1e-6 if self.kind == "residual" else 1.0  # a one-sided map may be 0 everywhere
        return {name: peak if name == PATCH else float(np.log(peak + floor)) for name, peak in largest.items()}

    def only(self, names: Collection[str]) -> PixelStatistics:
        """These statistics with the maps in `names` alone."""
        kept = [i for i, name in enumerate(self.names) if name in names and name != PATCH]
        return replace(
            self,
            scales=tuple(self.scales[i] for i in kept),
            pooled_std=self.pooled_std[kept],
            patch_statistics=self.patch_statistics if PATCH in names else None,
        )


def reach(scale: float) -> int:
    """How many pixels far `pool` looks, or fewer."""
    return math.ceil(4 * scale) + 1 if scale else 0


def pool(image: Float, scale: float) -> Float:
    """Blur [H, W, C] by a Gaussian with a standard deviation of `scale` pixels; 0 changes nothing."""
    if not scale:
        return image
    blurred = cv2.GaussianBlur(image, (0, 0), scale, borderType=cv2.BORDER_REFLECT)
    return np.asarray(blurred, dtype=np.float32).reshape(image.shape)
