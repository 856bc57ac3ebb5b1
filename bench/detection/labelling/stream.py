"""A stream of frames with their truth, in the order of time, and the stream of a training's test images."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from latentline.errors import DatasetError
from trainer.checkpoint import load_checkpoint
from trainer.data.sources import open_source

GOOD = "good"
LOTS = 4  # that a stream is cut into; the last one is judged
UInt8 = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class StreamFrame:
    """name: in the stream. kind: of its defect, or good. part: that it shows."""

    name: str
    kind: str
    part: str


class LabelStream(Protocol):
    """Frames with their truth; those of one part come one after the other."""

    frames: Sequence[StreamFrame]

    def read(self, name: str) -> UInt8:
        """One frame, uint8 [H, W] or [H, W, 3]."""
        ...

    def mask(self, name: str, shape: tuple[int, int]) -> Mask | None:
        """Where the frame of `shape` (height, width) is abnormal; None where nobody knows."""
        ...


class StreamOfParts:
    """The test images of a training, in the order of their parts. Raises DatasetError without defects."""

    def __init__(self, run: Path) -> None:
        checkpoint = load_checkpoint(run)
        config, split = checkpoint.config, checkpoint.split
        whole = config.preprocessing.model_copy(update={"region": None})  # as a camera sees it
        source = open_source(config.data, whole)
        groups = source.groups()
        kinds = {GOOD: split.test_good, **split.test_abnormal}
        frames = [StreamFrame(name, kind, groups.get(name, name)) for kind, names in kinds.items() for name in names]
        if len({frame.kind for frame in frames}) < 2:
            raise DatasetError(f"{run}: its test has no defects, or nothing else; a stream needs both")
        self.frames: Sequence[StreamFrame] = sorted(frames, key=lambda frame: (natural(frame.part), frame.name))
        self.read, self.mask = source.read, source.mask


def natural(text: str) -> list[tuple[int, str]]:
    """A key that sorts texts by the numbers in them: part 9 comes before part 10."""
    return [(int(digits or 0), other) for digits, other in re.findall(r"(\d+)|(\D+)", text)]


def lots(frames: Sequence[StreamFrame]) -> list[list[StreamFrame]]:
    """Four lots of about as many whole parts, in the order of time. Raises DatasetError: fewer parts than lots."""
    parts = list(dict.fromkeys(frame.part for frame in frames))
    each = len(parts) // LOTS
    if not each:
        raise DatasetError(f"a stream needs at least {LOTS} parts, and this one has {len(parts)}")
    first = len(parts) - (LOTS - 1) * each
    lot = {part: 0 if number < first else 1 + (number - first) // each for number, part in enumerate(parts)}
    return [[frame for frame in frames if lot[frame.part] == number] for number in range(LOTS)]
