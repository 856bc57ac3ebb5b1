"""The abnormal batch: tiles of known-abnormal images, of pasted defects and of synthetic ones, in fixed shares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor


class MaskedTiles(Protocol):
    """A source of tiles with masks."""

    def draw_with_masks(self, count: int, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Tiles float32 [count, C, S, S], masks bool [count, 1, S, S], and bool [count]: whether the mask is known."""
        ...


class KnownAbnormal:
    """Draws the abnormal batches of Noisy-AnoGAN.

    sources  each with its share of a batch; the shares add up to 1
    """

    def __init__(self, sources: Sequence[tuple[MaskedTiles, float]]) -> None:
        self._sources = [source for source, _ in sources]
        self._cumulative = np.cumsum([share for _, share in sources])

    def draw_with_masks(self, count: int, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """As MaskedTiles; the tiles come in the order of the sources."""
        counts = np.diff(np.rint(self._cumulative * count).astype(int), prepend=0).tolist()
        draws = [s.draw_with_masks(n, rng) for s, n in zip(self._sources, counts, strict=True) if n]
        tiles, masks, known = zip(*draws, strict=True)
        return torch.cat(tiles), torch.cat(masks), torch.cat(known)
