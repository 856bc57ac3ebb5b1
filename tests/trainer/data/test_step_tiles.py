"""Tiles made ahead are those that a step would draw itself."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from trainer.data.crops import CropSampler
from trainer.data.known_abnormal import KnownAbnormal
from trainer.data.settings import AugmentConfig
from trainer.data.step_tiles import StepTiles, StepTileSource

SIZE = 16


class Marked:
    """Draws tiles with masks, and notes in which threads."""

    def __init__(self, sampler: CropSampler) -> None:
        self._sampler, self.threads = sampler, set[int]()

    def draw_with_masks(self, count: int, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        self.threads.add(threading.get_ident())
        return self._sampler.draw_with_masks(count, rng)


@pytest.fixture
def sampler() -> CropSampler:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (40, 50, 1), np.uint8) for _ in range(3)]
    return CropSampler(images, SIZE, AugmentConfig())


def steps(source: StepTileSource, counts: list[int], rng: np.random.Generator) -> list[StepTiles]:
    return [source.draw(count, following, rng) for count, following in zip(counts, [*counts[1:], 1], strict=True)]


def same(one: StepTiles, other: StepTiles) -> bool:
    assert one.abnormal is not None and other.abnormal is not None
    return torch.equal(one.normal, other.normal) and all(map(torch.equal, one.abnormal, other.abnormal))


def test_tiles_made_ahead_are_those_drawn_in_place(sampler: CropSampler) -> None:
    """Tile for tile, with the same random state after every step, for batches of several sizes; from another thread."""
    abnormal = Marked(sampler)
    ahead = StepTileSource(sampler, KnownAbnormal([(abnormal, 1.0)]), ahead=True)
    in_place = StepTileSource(sampler, KnownAbnormal([(Marked(sampler), 1.0)]), ahead=False)
    one, other = (np.random.default_rng(7) for _ in range(2))
    counts = [3, 3, 5, 2]
    for found, expected in zip(steps(ahead, counts, one), steps(in_place, counts, other), strict=True):
        assert same(found, expected)
    assert one.bit_generator.state == other.bit_generator.state
    assert len(abnormal.threads) == 2, "the first step in this thread, the others in one of their own"


def test_tiles_made_for_something_else_are_not_used(sampler: CropSampler) -> None:
    """After a wrong guess of the number, or another random state, as after a resume, the tiles are drawn anew."""
    abnormal = KnownAbnormal([(Marked(sampler), 1.0)])
    ahead, in_place = (StepTileSource(sampler, abnormal, ahead=a) for a in (True, False))
    rng, other = (np.random.default_rng(7) for _ in range(2))
    states: list[Any] = []
    for count in (3, 4, 3):
        states.append(rng.bit_generator.state)
        assert same(ahead.draw(count, 9, rng), in_place.draw(count, 9, other))
    rng.bit_generator.state = other.bit_generator.state = states[1]
    assert same(ahead.draw(9, 9, rng), in_place.draw(9, 9, other))


def test_what_fails_ahead_fails_in_the_step(sampler: CropSampler) -> None:
    """An error in the thread is raised where the tiles are asked for."""

    class Broken:
        calls = 0

        def draw_with_masks(self, count: int, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
            self.calls += 1
            if self.calls > 1:
                raise ValueError("no defect today")
            return sampler.draw_with_masks(count, rng)

    source, rng = StepTileSource(sampler, KnownAbnormal([(Broken(), 1.0)]), ahead=True), np.random.default_rng(0)
    source.draw(2, 2, rng)
    with pytest.raises(ValueError, match="no defect today"):
        source.draw(2, 2, rng)
