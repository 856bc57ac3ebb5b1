"""The sizes of the images behind a threshold: what the model promises holds for frames like these."""

from __future__ import annotations

from collections.abc import Iterable

MOST_SIZES = 20  # that a manifest records
NEAR = 1.1  # ratio of two sizes that count as the same
Size = tuple[int, int]  # width, height in pixels


def sizes_of(shapes: Iterable[tuple[int, ...]]) -> tuple[Size, ...]:
    """The sizes of images of these shapes (height, width, …), each once; of many those at the ends of the ranges."""
    found = sorted({(shape[1], shape[0]) for shape in shapes})
    if len(found) <= MOST_SIZES:
        return tuple(found)
    by_aspect, by_height = (sorted(found, key=key) for key in (lambda size: size[0] / size[1], lambda size: size[1]))
    return tuple(sorted({by_aspect[0], by_aspect[-1], by_height[0], by_height[-1]}))


def is_like(size: Size, sizes: Iterable[Size], scaled: bool) -> bool:
    """Whether a frame of this size is seen as those of `sizes` are, within a tenth.

    scaled  frames are scaled to one height, so that their aspect alone counts
    """
    known = list(sizes)
    aspects = [width / height for width, height in known]
    heights = [height for _, height in known]
    width, height = size
    fits = min(aspects) / NEAR <= width / height <= max(aspects) * NEAR
    return fits and (scaled or min(heights) / NEAR <= height <= max(heights) * NEAR)


def in_words(sizes: Iterable[Size]) -> str:
    """The sizes as people read them: one of them, or from which to which."""
    known = sorted(sizes, key=lambda size: size[0] * size[1])
    first, last = (f"{width} x {height}" for width, height in (known[0], known[-1]))
    return f"{first} px" if len(known) == 1 else f"{first} to {last} px"
