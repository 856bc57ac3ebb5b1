"""What counts as the same picture again and again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edge_runtime.cameras.still_picture import StillPicture
from tests.edge_runtime.cameras.scripted import picture


class Watched:
    """A watch of 60 s with a clock that tests set."""

    def __init__(self) -> None:
        self.now = 0.0
        self._still = StillPicture("top", 60, lambda: self.now)

    def frozen(self, image: np.ndarray, now: float) -> bool:
        self.now = now
        return self._still.trouble(replace(picture(0), image=image)) is not None


@pytest.mark.parametrize("height", [1, 63, 64, 65, 1000])
def test_equal_frames_are_frozen_after_the_limit(height: int) -> None:
    """Not before, not two frames alone, and no longer than until a frame differs."""
    watched, image = Watched(), np.random.default_rng(0).integers(0, 255, (height, 8, 3), np.uint8)
    assert [watched.frozen(image.copy(), now) for now in (0, 61, 62, 63)] == [False, False, True, True]
    noisy = image.copy()
    noisy[0, 0, 0] ^= 1
    assert [watched.frozen(frame, now) for now, frame in enumerate([noisy, image, image], 64)] == [False] * 3


@pytest.mark.parametrize("other", [np.zeros((4, 4, 1), np.uint16), np.zeros((4, 4, 3), np.uint8)])
def test_a_change_of_size_or_depth_is_no_still_picture(other: np.ndarray) -> None:
    """A black frame of another kind is another picture."""
    watched, black = Watched(), np.zeros((4, 4, 1), np.uint8)
    assert [watched.frozen(black, 0), watched.frozen(other, 50), watched.frozen(other, 70)] == [False] * 3


def test_a_buffer_that_the_driver_writes_again_is_a_new_picture() -> None:
    """What was seen is copied, as some drivers give one buffer again and again."""
    watched, buffer = Watched(), np.zeros((4, 4, 1), np.uint8)
    seen = []
    for now in range(0, 300, 50):
        buffer += 1
        seen.append(watched.frozen(buffer, now))
    assert not any(seen)
