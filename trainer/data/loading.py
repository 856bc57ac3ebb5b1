"""Read images of a source: a broken one is skipped and named, many broken ones are a fault of the source."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from latentline.errors import DatasetError, ImageError
from trainer.data.source import ImageSource

UInt8 = npt.NDArray[np.uint8]
MAX_UNREADABLE_SHARE = 0.1
SECONDS_BEFORE_PROGRESS = 2.0


@dataclass(frozen=True)
class Loaded:
    """Images that could be read, by name, and one sentence for each that could not."""

    images: dict[str, UInt8]
    bad: tuple[str, ...]


def load(source: ImageSource, names: Sequence[str], prepare: Callable[[UInt8], UInt8] | None = None) -> Loaded:
    """Read `names` into memory, each image prepared as soon as it is read, so that only what is needed is held.

    A broken file is skipped and named; more than a tenth broken raises DatasetError.
    """
    bad: list[str] = []
    shown = tqdm(read_each(source, names, bad, prepare), total=len(names), unit="img", delay=SECONDS_BEFORE_PROGRESS)
    return Loaded(dict(shown), tuple(bad))


def read_each(
    source: ImageSource, names: Sequence[str], bad: list[str], prepare: Callable[[UInt8], UInt8] | None = None
) -> Iterator[tuple[str, UInt8]]:
    """(name, image) one after the other, nothing held; a sentence for each that is skipped is added to `bad`.

    Raises DatasetError, at the end, when more than a tenth is broken.
    """
    broken = 0
    for name in names:
        try:
            image = source.read(name)
            if prepare is not None:
                image = _prepared(image, prepare, f"{source.place}/{name}")
        except ImageError as error:
            bad.append(str(error))
            broken += 1
        else:
            yield name, image
    if broken > MAX_UNREADABLE_SHARE * len(names):
        raise DatasetError(
            f"{source.place}: {broken} of {len(names)} images cannot be used, the first: {bad[-broken]}; "
            "mend or remove them"
        )


def _prepared(image: UInt8, prepare: Callable[[UInt8], UInt8], place: str) -> UInt8:
    try:
        return prepare(image)
    except ImageError as error:
        raise ImageError(f"{place}: {error}") from None
