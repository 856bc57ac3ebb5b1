"""The split of images into training, calibration and test: no image, and no part, is on two sides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

VALIDATION_SHARE = 1 / 3
MIN_PARTS_FOR_VALIDATION = 15  # known-abnormal parts; a third of fewer could not fit the weights: all of them train
MAX_VALIDATION = 200  # images; enough for the weights of a few components, and each one costs a search


@dataclass(frozen=True)
class Split:
    """Image names of one source, each on one side.

    train                shown as normal; under contamination some are abnormal
    held_out             normal, for calibration
    known_abnormal       shown as abnormal
    validation_abnormal  known abnormal, kept from training for the weights of the score
    test_good            normal; empty where a source has no normal test images: then there are only pixel figures
    test_abnormal        by kind of defect; no kind is empty
    """

    train: tuple[str, ...]
    held_out: tuple[str, ...]
    known_abnormal: tuple[str, ...]
    validation_abnormal: tuple[str, ...]
    test_good: tuple[str, ...]
    test_abnormal: dict[str, tuple[str, ...]]

    def without_abnormal(self) -> Split:
        """The split for a method that is shown nothing abnormal: all known-abnormal images are for the weights."""
        if self.validation_abnormal:
            return self
        return replace(self, known_abnormal=(), validation_abnormal=self.known_abnormal)

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
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
    """Split names by whole groups, in random order, into (taken, others), both sorted.

    Taken are at least `fraction` of the names, and at least one. One group always stays with the others: of a single
    group nothing is taken.
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
    """Known-abnormal images as (training, validation), the latter for the weights; empty when parts are too few."""
    if len(_members(names, groups)) < MIN_PARTS_FOR_VALIDATION:
        return tuple(sorted(names)), ()
    validation, trained = take(names, min(VALIDATION_SHARE, MAX_VALIDATION / len(names)), groups, rng)
    return trained, validation


def at_most(names: Sequence[str], count: int, groups: Mapping[str, str]) -> tuple[str, ...]:
    """Whole groups, in the order given, that have at most `count` names together."""
    chosen: list[str] = []
    for group in _members(names, groups).values():
        if len(chosen) + len(group) <= count:
            chosen += group
    return tuple(chosen)


def first_parts(
    names: Sequence[str], count: int, groups: Mapping[str, str], rng: np.random.Generator
) -> tuple[str, ...]:
    """At most `count` names, sorted: whole groups in random order; of the last one perhaps only some.

    With the same generator a smaller count gives a part of what a larger one gives.
    """
    members = _members(sorted(names), groups)
    order = [name for group in shuffled(sorted(members), rng) for name in members[group]]
    return tuple(sorted(order[:count]))


def shuffled(names: Sequence[str], rng: np.random.Generator) -> list[str]:
    """The names in random order."""
    return [names[i] for i in rng.permutation(len(names))]


def _members(names: Sequence[str], groups: Mapping[str, str]) -> dict[str, list[str]]:
    members: dict[str, list[str]] = {}
    for name in names:
        members.setdefault(groups.get(name, name), []).append(name)
    return members
