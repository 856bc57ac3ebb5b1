"""Tiles that show something abnormal: known-abnormal images, their defects elsewhere, made ones, shares of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor


class MaskedTiles(Protocol):
    """What draws tiles together with what is known of their masks."""

    def draw_with_masks(self, count: int, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Tiles float32 [count, C, S, S], masks bool [count, 1, S, S], and whether a mask is known, bool [count]."""
        ...


class KnownAbnormal:
    """The abnormal batch of Noisy-AnoGAN.

    sources  what draws tiles, and its share of a batch; the shares add up to 1
    """

    def __init__(self, sources: Sequence[tuple[MaskedTiles, float]]) -> None:
        self._sources = [source for source, _ in sources]
        self._until = np.cumsum([share for _, share in sources])

    def draw_with_masks(self, count: int, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """As MaskedTiles; the tiles of each source stand together, in the order of the sources."""
        counts = np.diff(np.rint(self._until * count).astype(int), prepend=0).tolist()
        draws = [s.draw_with_masks(n, rng) for s, n in zip(self._sources, counts, strict=True) if n]
        tiles, masks, known = zip(*draws, strict=True)
        return torch.cat(tiles), torch.cat(masks), torch.cat(known)
