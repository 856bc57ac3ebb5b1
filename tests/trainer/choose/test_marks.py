"""Made defects: visible where their mask is, and nowhere else."""

import numpy as np
import pytest

from trainer.choose.marks import KINDS, VISIBLE, made_defect


def _textured(channels: int, seed: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    shape = (96, 120) if channels == 1 else (96, 120, channels)
    return np.random.default_rng(seed).integers(30, 220, shape).astype(np.uint8)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channels", [1, 3])
def test_a_defect_changes_its_mask_visibly_and_nothing_else(kind: str, channels: int) -> None:
    """Over many seeds and sizes, in grey and colour; the image that was given stays as it was."""
    for seed in range(20):
        frame, rng = _textured(channels, seed), np.random.default_rng(seed)
        before = frame.copy()
        made = made_defect(frame, kind, float(rng.uniform(2, 40)), rng)
        assert made is not None
        changed, mask = made
        difference = np.abs(changed.astype(float) - frame).reshape(*frame.shape[:2], -1).max(axis=2)
        assert changed.shape == frame.shape and mask.shape == frame.shape[:2]
        assert not difference[~mask].any() and difference[mask].mean() >= VISIBLE
        assert (frame == before).all()


@pytest.mark.parametrize("level", [0, 128, 255])
def test_on_a_blank_surface_nothing_can_be_missing(level: int) -> None:
    """A scratch and a spot are visible on any surface; without structure none is missing and none is shifted."""
    frame = np.full((80, 80), level, np.uint8)
    found = {kind: made_defect(frame, kind, 10.0, np.random.default_rng(1)) is not None for kind in KINDS}
    assert found == {"made-scratch": True, "made-spot": True, "made-missing": False, "made-shifted": False}


def test_the_same_seed_makes_the_same_defect() -> None:
    """So that a choice can be repeated."""
    one, two = (made_defect(_textured(1, 0), "made-spot", 12.0, np.random.default_rng(5)) for _ in range(2))
    assert one is not None and two is not None and (one[0] == two[0]).all()
