"""Tiles that show something abnormal: a user's own images, made ones, or a share of each."""

from __future__ import annotations

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

    real       known-abnormal images, made  synthetic ones; one of them may be None
    synthetic  share of a batch that is made
    """

    def __init__(self, real: MaskedTiles | None, made: MaskedTiles | None, synthetic: float) -> None:
        assert real is not None or made is not None
        self._real, self._made = real, made
        self._synthetic = 1.0 if real is None else synthetic if made is not None else 0.0

    def draw_with_masks(self, count: int, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """As MaskedTiles; the made tiles come last."""
        made = round(self._synthetic * count)
        draws = []
        if self._real is not None and made < count:
            draws.append(self._real.draw_with_masks(count - made, rng))
        if self._made is not None and made:
            draws.append(self._made.draw_with_masks(made, rng))
        tiles, masks, known = zip(*draws, strict=True)
        return torch.cat(tiles), torch.cat(masks), torch.cat(known)
