"""Write files and folders whole or not at all.

The content goes to a temporary file in the same folder, is flushed to the disk, and is then renamed. A crash leaves the
old file or the new one, and perhaps a `.tmp` beside it. On file systems that reorder directory writes the *rename* may
be lost in a power cut; then the old file is back.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write_bytes(path: Path, content: bytes, *, mode: int = 0o666, flush: bool = True) -> None:
    """Replace `path` by `content` in one step. mode: its rights, less those that the umask takes.

    flush  False does not wait for the disk: whole or not at all still holds when the process dies, but not in a power
           cut
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
            file.write(content)
            file.flush()
            if flush:
                os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, content: str, *, mode: int = 0o666) -> None:
    """Replace `path` by `content`, UTF-8, in one step. mode: as for `write_bytes`."""
    write_bytes(path, content.encode(), mode=mode)


def put_back(path: Path) -> None:
    """Undo a crash within `new_folder`: put the folder that was set aside back to `path` if nothing is there."""
    for old in path.parent.glob(f".{path.name}.*.old"):
        if path.exists():
            shutil.rmtree(old, ignore_errors=True)
        else:
            old.rename(path)
    for temporary in path.parent.glob(f".{path.name}.*.tmp"):
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yield a folder that becomes `path` when the block succeeds and is deleted when it fails.

    An existing `path` is set aside first, and removed when the new one is in place.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    old = path.with_name(f".{path.name}.{os.getpid()}.old")
    temporary.mkdir()
    try:
        yield temporary
        for file in temporary.rglob("*"):
            if file.is_file():
                with file.open("rb") as handle:
                    os.fsync(handle.fileno())
        if path.exists():
            path.rename(old)
        temporary.rename(path)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
