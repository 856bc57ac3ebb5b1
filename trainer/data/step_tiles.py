"""The normal and abnormal tiles of a training step, made beside the step before where another device computes it.

Making abnormal tiles takes the processor several times as long as cutting normal ones. A GPU would wait for it.
"""

from __future__ import annotations

import copy
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from trainer.data.crops import CropSampler
from trainer.data.known_abnormal import KnownAbnormal


class StepTiles(NamedTuple):
    """normal float32 [N, C, S, S]; abnormal: as `MaskedTiles` gives them, None where the method has none."""

    normal: Tensor
    abnormal: tuple[Tensor, Tensor, Tensor] | None


class StepTileSource:
    """Draws the tiles of one step after the other.

    ahead  make those of the next step in a thread of its own, while the caller works with these

    The tiles and the random state after a step do not depend on `ahead`: what was made for another state or number is
    not used. So a resumed run equals an uninterrupted one, and a GPU is shown what a CPU is shown.
    """

    def __init__(self, normal: CropSampler, abnormal: KnownAbnormal | None, *, ahead: bool) -> None:
        self._normal, self._abnormal = normal, abnormal
        self._thread = ThreadPoolExecutor(1, "tiles of the next step") if ahead else None
        self._key: tuple[int, object] | None = None
        self._made: Future[tuple[StepTiles, Any]] | None = None

    def draw(self, count: int, following: int, rng: np.random.Generator) -> StepTiles:
        """`count` tiles of each kind, drawn from `rng`. following: how many the next step will ask for, most likely."""
        tiles, rng.bit_generator.state = self._taken(count, rng)
        if self._thread is not None:
            state = rng.bit_generator.state
            self._key = following, state
            self._made = self._thread.submit(self._make, following, copy.deepcopy(state))
        return tiles

    def _taken(self, count: int, rng: np.random.Generator) -> tuple[StepTiles, Any]:
        """The tiles that were made ahead if they are these, else new ones; and the random state after them."""
        made, self._made = self._made, None
        state = rng.bit_generator.state
        if made is not None:
            found = made.result()  # also where they are of no use: one thread at a time draws
            if self._key == (count, state):
                return found
        return self._make(count, state)

    def _make(self, count: int, state: Any) -> tuple[StepTiles, Any]:
        rng = np.random.default_rng()
        rng.bit_generator.state = state
        normal = self._normal.draw(count, rng)
        abnormal = None if self._abnormal is None else self._abnormal.draw_with_masks(count, rng)
        return StepTiles(normal, abnormal), rng.bit_generator.state
