"""Read images of a source: broken ones are skipped and named; too many of them are an error."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from latentline.base.counted import counted
from latentline.errors import DatasetError, ImageError
from trainer.data.source import ImageSource

UInt8 = npt.NDArray[np.uint8]
MAX_UNREADABLE_SHARE = 0.1
SECONDS_BEFORE_PROGRESS = 2.0


@dataclass(frozen=True)
class Loaded:
    """The readable images by name, and one sentence for each skipped one."""

    images: dict[str, UInt8]
    skipped: tuple[str, ...]


def load(source: ImageSource, names: Sequence[str], prepare: Callable[[UInt8], UInt8] | None = None) -> Loaded:
    """Read `names` into memory; each image is prepared as soon as it is read, and only the result is kept.

    Raises DatasetError when more than a tenth of the images are broken.
    """
    skipped: list[str] = []
    images = tqdm(
        read_each(source, names, skipped, prepare), total=len(names), unit="img", delay=SECONDS_BEFORE_PROGRESS
    )
    return Loaded(dict(images), tuple(skipped))


def read_each(
    source: ImageSource, names: Sequence[str], skipped: list[str], prepare: Callable[[UInt8], UInt8] | None = None
) -> Iterator[tuple[str, UInt8]]:
    """Yield (name, image) one after the other; add a sentence to `skipped` for each broken image.

    Raises DatasetError, after the last image, when more than a tenth of them are broken.
    """
    broken = 0
    for name in names:
        try:
            image = source.read(name)
            if prepare is not None:
                image = _prepared(image, prepare, f"{source.place}/{name}")
        except ImageError as error:
            skipped.append(str(error))
            broken += 1
        else:
            yield name, image
    if broken > MAX_UNREADABLE_SHARE * len(names):
        raise DatasetError(
            f"{source.place}: {broken} of {counted(len(names), 'image')} cannot be used, the first: "
            f"{skipped[-broken]}; repair or remove them"
        )


def _prepared(image: UInt8, prepare: Callable[[UInt8], UInt8], place: str) -> UInt8:
    try:
        return prepare(image)
    except ImageError as error:
        raise ImageError(f"{place}: {error}") from None
