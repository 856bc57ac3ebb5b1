"""Counts for people."""

from __future__ import annotations


def counted(number: int, one: str, many: str = "") -> str:
    """A number with what it counts: counted(1, "tile") is "1 tile", counted(2, "tile") is "2 tiles".

    many  instead of `one` for any other number; left out: `one` and an s
    """
    return f"{number} {one if number == 1 else many or f'{one}s'}"
