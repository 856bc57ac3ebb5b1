"""What a search leaves to judge a frame by: maps of what is unexplained, and the raw score components."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from latentline.search.searched_frame import Evidence, MapKind

Float = npt.NDArray[np.float32]
UInt8 = npt.NDArray[np.uint8]

LOCAL = "d_local"


@dataclass(frozen=True)
class PixelStatistics:
    """How the difference of normal frames and their reconstructions behaves.

    mean, std  [C, S, S]: per pixel of a tile
    scales     standard deviations in px of the pooling Gaussians; 0: not pooled
    pooled_std  [len(scales)]: root mean square of the pooled, standardised difference of normal frames
    kind       which difference: `Evidence.difference`
    local      mean and standard deviation of `Evidence.doubt` of normal frames; None: it has no part in the map
    """

    mean: Float
    std: Float
    scales: tuple[float, ...]
    pooled_std: Float
    kind: MapKind = "residual"
    local: tuple[float, float] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The component that each map gives."""
        pooled = tuple(f"{self.kind}_{scale:g}px" for scale in self.scales)
        return pooled if self.local is None else (*pooled, LOCAL)

    def maps(self, evidence: Evidence) -> Float:
        """Anomaly maps [len(names), h, w] of the prepared frame, at least 0, in standard deviations of normal frames.

        The difference is standardised per tile pixel, blended, and pooled by a Gaussian, so that noise cancels and what
        is coherent does not. Over the channels the root mean square of a signed residual is taken, and the mean of the
        other kinds: there only more than usual is abnormal. So it is of the patch head's doubt.
        """
        return np.maximum(self.planes(evidence), 0)

    def planes(self, evidence: Evidence) -> Float:
        """`maps` before what is less than usual is cut off."""
        standardised = (evidence.difference(self.kind) - self.mean) / self.std
        blended = evidence.blend(standardised.transpose(0, 2, 3, 1))
        pooled = [pool(blended, scale) / std for scale, std in zip(self.scales, self.pooled_std, strict=True)]
        signed = self.kind == "residual"
        planes = [np.sqrt(np.square(p).mean(axis=2)) if signed else p.mean(axis=2) for p in pooled]
        if self.local is not None:
            doubt = evidence.doubt()
            if doubt is None:
                raise ValueError("a map with the patch head's verdict needs a searcher that gives it")
            planes.append(self.verdict(doubt))
        return np.stack(planes)

    def verdict(self, doubt: Float) -> Float:
        """`Evidence.doubt` in standard deviations of normal frames."""
        assert self.local is not None
        mean, std = self.local
        return np.asarray((doubt - mean) / std, np.float32)

    def peaks(self, maps: Float) -> dict[str, float]:
        """Raw component of each map: its largest value, as a logarithm where that has no bound."""
        largest = dict(zip(self.names, (float(plane.max()) for plane in maps), strict=True))
        floor = 1e-6 if self.kind == "residual" else 1.0  # a one-sided map may be 0 everywhere
        return {name: peak if name == LOCAL else float(np.log(peak + floor)) for name, peak in largest.items()}

    def only(self, names: Collection[str]) -> PixelStatistics:
        """Without the maps that are not in `names`."""
        kept = [i for i, name in enumerate(self.names) if name in names and name != LOCAL]
        return replace(
            self,
            scales=tuple(self.scales[i] for i in kept),
            pooled_std=self.pooled_std[kept],
            local=self.local if LOCAL in names else None,
        )


def pool(image: Float, scale: float) -> Float:
    """Gaussian of `scale` px standard deviation over [H, W, C]; 0 leaves it as it is."""
    if not scale:
        return image
    blurred = cv2.GaussianBlur(image, (0, 0), scale, borderType=cv2.BORDER_REFLECT)
    return np.asarray(blurred, dtype=np.float32).reshape(image.shape)
