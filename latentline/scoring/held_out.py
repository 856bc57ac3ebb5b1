"""Held-out normal frames: which standardise the score, which fix the threshold, and whether they are enough."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from latentline.scoring.thresholds import Tail, too_few

STANDARDISING_SHARE = 1 / 3
FEWEST_STANDARDISING = 8


def split_held_out(names: Sequence[str], groups: Mapping[str, str], seed: int) -> tuple[list[str], list[str]]:
    """Split held-out names into (standardising, scored), by whole parts and seeded.

    The first gets a third of the names, at least the 8 that standardising needs.
    groups  part by name; a name without one is a part of its own
    """
    rng = np.random.default_rng(seed)
    members: dict[str, list[str]] = {}
    for name in names:
        members.setdefault(groups.get(name, name), []).append(name)
    keys = sorted(members)
    standardising: list[str] = []
    order = [keys[i] for i in rng.permutation(len(keys))]
    while order and len(standardising) < max(FEWEST_STANDARDISING, STANDARDISING_SHARE * len(names)):
        standardising += members[order.pop()]
    return sorted(standardising), sorted(n for key in order for n in members[key])


def too_few_normals(standardising: int, scored: int, false_alarm_rate: float, tail: Tail = "exact") -> str | None:
    """Why these numbers of normal frames are too few to calibrate with, and what to do. None: they are enough."""
    if standardising < FEWEST_STANDARDISING:
        return too_few_to_standardise(standardising)
    return too_few(scored, false_alarm_rate, tail)


def too_few_to_standardise(count: int) -> str:
    """The sentence for `count` normal frames that are too few to standardise the score."""
    return (
        f"calibration needs at least {FEWEST_STANDARDISING} normal images to standardise the score, "
        f"and has {count}; hold out more images"
    )
