"""Who trains, who calibrates, who tests: no image, and no part, on two sides."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from latentline.errors import DatasetError
from trainer.config import DataConfig
from trainer.data.folders import ImageFolder


@dataclass(frozen=True)
class Split:
    """Image names relative to the data root."""

    train: tuple[str, ...]
    held_out: tuple[str, ...]
    known_abnormal: tuple[str, ...]
    test_good: tuple[str, ...]
    test_abnormal: dict[str, tuple[str, ...]]

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
            test_good=tuple(data["test_good"]),
            test_abnormal={k: tuple(v) for k, v in data["test_abnormal"].items()},
        )


def split(folder: ImageFolder, config: DataConfig, seed: int) -> Split:
    """Choose held-out normals and known-abnormal images, by whole groups.

    Raises DatasetError when a side stays empty.
    """
    rng = np.random.default_rng(seed)
    groups = folder.groups(config.groups)
    held_out = set(folder.validation_good) or _take(folder.train_good, config.holdout, groups, rng)
    train = tuple(n for n in folder.train_good if n not in held_out)
    if not train or not held_out:
        raise DatasetError(
            f"{folder.root}: {len(folder.train_good)} normal images are too few to hold out {config.holdout:.0%}"
        )
    known = _known_abnormal(folder, config, groups, rng)
    gone = {groups.get(n, n) for n in known}
    rest = {d: tuple(n for n in ns if groups.get(n, n) not in gone) for d, ns in folder.test_abnormal.items()}
    return Split(train, tuple(sorted(held_out)), known, folder.test_good, rest)


def _known_abnormal(
    folder: ImageFolder, config: DataConfig, groups: dict[str, str], rng: np.random.Generator
) -> tuple[str, ...]:
    if config.known_abnormal is None:
        chosen: set[str] = set()
        for names in folder.test_abnormal.values() if config.known_abnormal_fraction else ():
            chosen |= _take(names, config.known_abnormal_fraction, groups, rng)
        return tuple(sorted(chosen))
    try:
        listed = [line.strip() for line in config.known_abnormal.read_text(encoding="utf-8").splitlines()]
    except OSError as error:
        raise DatasetError(f"{config.known_abnormal}: cannot be read ({error.strerror})") from None
    wanted = [line for line in listed if line and not line.startswith("#")]
    known = {name for defect in folder.test_abnormal.values() for name in defect}
    missing = [name for name in wanted if name not in known]
    if missing or not wanted:
        what = f"'{missing[0]}' is not an image of test/<defect>" if missing else "no image is listed"
        raise DatasetError(f"{config.known_abnormal}: {what} under {folder.root}")
    return tuple(sorted(wanted))


def _take(names: Sequence[str], fraction: float, groups: dict[str, str], rng: np.random.Generator) -> set[str]:
    """Whole groups, in random order, until at least `fraction` of `names` (and one) is taken."""
    members: dict[str, list[str]] = {}
    for name in names:
        members.setdefault(groups.get(name, name), []).append(name)
    taken: set[str] = set()
    for group in _shuffled(members, rng):
        if len(taken) >= max(1, round(fraction * len(names))):
            break
        taken.update(members[group])
    return taken


def _shuffled(keys: Iterable[str], rng: np.random.Generator) -> list[str]:
    ordered = sorted(keys)
    return [ordered[i] for i in rng.permutation(len(ordered))]
