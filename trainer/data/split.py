"""Who trains, who calibrates, who tests: no image, and no part, on two sides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

VALIDATION_SHARE = 1 / 3
MIN_PARTS_FOR_VALIDATION = 15  # known-abnormal parts; a third of fewer could not fit the weights: all of them train
MAX_VALIDATION = 200  # plenty for the weights of a few components, and each one is searched


@dataclass(frozen=True)
class Split:
    """Image names of one source; no name stands on two sides.

    train                shown as normal (under contamination not all of them are)
    held_out             normal, to calibrate score and threshold
    known_abnormal       shown as abnormal
    validation_abnormal  known abnormal and kept from training, to weight the score
    test_good            normal; empty where a source has no normal test images: then only pixels can be judged
    test_abnormal        by kind of defect; no kind is empty
    """

    train: tuple[str, ...]
    held_out: tuple[str, ...]
    known_abnormal: tuple[str, ...]
    validation_abnormal: tuple[str, ...]
    test_good: tuple[str, ...]
    test_abnormal: dict[str, tuple[str, ...]]

    def without_abnormal(self) -> Split:
        """For a method that is shown nothing abnormal: then few known-abnormal images can weight the score."""
        if self.validation_abnormal:
            return self
        return replace(self, known_abnormal=(), validation_abnormal=self.known_abnormal)

    def to_json(self) -> dict[str, Any]:
        """As plain lists."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Split:
        """The inverse of `to_json`."""
        return cls(
            train=tuple(data["train"]),
            held_out=tuple(data["held_out"]),
            known_abnormal=tuple(data["known_abnormal"]),
            validation_abnormal=tuple(data["validation_abnormal"]),
            test_good=tuple(data["test_good"]),
            test_abnormal={kind: tuple(names) for kind, names in data["test_abnormal"].items()},
        )


def take(
    names: Sequence[str], fraction: float, groups: Mapping[str, str], rng: np.random.Generator
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names shared out by whole groups, in random order, into at least `fraction` of them (and one) and the rest.

    One group always stays with the rest, so that nothing comes of a single group. Both sides are sorted.
    """
    members = _members(names, groups)
    taken: list[str] = []
    for group in shuffled(sorted(members), rng)[:-1]:
        if len(taken) >= max(1, round(fraction * len(names))):
            break
        taken += members[group]
    return tuple(sorted(taken)), tuple(sorted(set(names) - set(taken)))


def split_known_abnormal(
    names: Sequence[str], groups: Mapping[str, str], rng: np.random.Generator
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Known-abnormal images as (trained on, kept to weight the score); the latter of enough parts alone."""
    if len(_members(names, groups)) < MIN_PARTS_FOR_VALIDATION:
        return tuple(sorted(names)), ()
    validation, trained = take(names, min(VALIDATION_SHARE, MAX_VALIDATION / len(names)), groups, rng)
    return trained, validation


def at_most(names: Sequence[str], count: int, groups: Mapping[str, str]) -> tuple[str, ...]:
    """As many whole groups, in the order given, as make up at most `count` names."""
    chosen: list[str] = []
    for group in _members(names, groups).values():
        if len(chosen) + len(group) <= count:
            chosen += group
    return tuple(chosen)


def shuffled(names: Sequence[str], rng: np.random.Generator) -> list[str]:
    """The names in random order."""
    return [names[i] for i in rng.permutation(len(names))]


def _members(names: Sequence[str], groups: Mapping[str, str]) -> dict[str, list[str]]:
    members: dict[str, list[str]] = {}
    for name in names:
        members.setdefault(groups.get(name, name), []).append(name)
    return members
