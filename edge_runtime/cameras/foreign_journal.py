"""Tells whether the file at the path of a journal belongs to something else, so that nobody changes it."""

from __future__ import annotations

from pathlib import Path

_FIRST_BYTES = 4096


def is_foreign_journal(path: Path) -> bool:
    """Whether `path` is a file that begins neither with a JSON list nor with an object, e.g. a model package.

    Zeros in front are left out: a power cut may leave them. Raises OSError when the file cannot be read.
    """
    if not path.exists():
        return False
    if not path.is_file():
        return True
    with path.open("rb") as file:
        start = file.read(_FIRST_BYTES).lstrip(b"\0\r\n")
    return bool(start) and start[:1] not in b"[{"
