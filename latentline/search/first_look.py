"""The first look: what D says of every tile of a frame, each seen once, and which tiles are searched for it.

The search costs far more than a look, and most tiles are plainly normal. So only the most suspicious ones are searched,
always as many: a frame's work is fixed. The look is D's verdict on the tiles of the search itself, and so equal to it
where D has no mirror images. D's trunk over the whole frame at once would take half of a look's time on a CPU, but sees
no edges of tiles, and so says something else; a look at tiles that do not overlap takes little more than that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from latentline.search.searcher import SearchResult

Float = npt.NDArray[np.float32]
Indices = npt.NDArray[np.intp]
UInt8 = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class FirstLook:
    """D's outputs on N tiles, without mirror images.

    logit         [N] of D(x), larger is more normal
    patch_logits  [N, h, w] of the patch head; None without one
    """

    logit: Float
    patch_logits: Float | None = None

    def most_suspicious(self, count: int) -> Indices:
        """The `count` tiles that look least normal, all where there are no more: ascending indices. Ties: the first."""
        return np.sort(np.argsort(self.logit, kind="stable")[:count])

    def tiles(self, start: int, stop: int) -> FirstLook:
        """The look at the tiles from `start` to before `stop`."""
        patches = None if self.patch_logits is None else self.patch_logits[start:stop]
        return FirstLook(self.logit[start:stop], patches)

    def patches_with(self, searched: SearchResult, chosen: Indices) -> Float | None:
        """The patch logits [N, h, w], those of the `chosen` tiles as their search gave them."""
        if self.patch_logits is None or searched.patch_logits is None:
            return None
        patches: Float = self.patch_logits.copy()
        patches[chosen] = searched.patch_logits
        return patches


@runtime_checkable
class LookingSearcher(Protocol):
    """A `Searcher` that can look first."""

    def look(self, tiles: UInt8) -> FirstLook:
        """Look at all tiles, uint8 [N, H, W, C]. Raises PackageError for a model that brings no first look."""
        ...
