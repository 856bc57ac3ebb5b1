"""Where in a frame something was searched, as few boxes: maps need no work elsewhere."""

from __future__ import annotations

from collections.abc import Iterable

Box = tuple[int, int, int, int]  # top, bottom, left, right; the second and the last excluded


def regions(corners: Iterable[tuple[int, int]], size: int, reach: int, shape: tuple[int, int]) -> list[Box]:
    """Boxes that share no pixel and together hold every tile with `reach` px around it, within [height, width].

    A filter that looks `reach` px far may run on each box alone where all is 0 but the tiles: elsewhere it finds 0.

    corners  (y, x) of the tiles, `size` px a side
    """
    found: list[Box] = []
    for y, x in corners:
        box = max(0, y - reach), min(shape[0], y + size + reach), max(0, x - reach), min(shape[1], x + size + reach)
        while touching := [other for other in found if _touch(box, other)]:
            found = [other for other in found if other not in touching]
            box = _around([box, *touching])
        found.append(box)
    return found


def _touch(a: Box, b: Box) -> bool:
    return a[0] < b[1] and b[0] < a[1] and a[2] < b[3] and b[2] < a[3]


def _around(boxes: list[Box]) -> Box:
    tops, bottoms, lefts, rights = zip(*boxes, strict=True)
    return min(tops), max(bottoms), min(lefts), max(rights)
