"""Write files and folders whole or not at all.

The content goes to a temporary file in the same folder, is flushed to the disk, and is then renamed. A crash leaves the
old file or the new one, and perhaps a `.tmp` beside it. On file systems that reorder directory writes the *rename* may
be lost in a power cut; then the old file is back.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from glob import escape
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
    """Undo a crash within `new_folder`: put the folder that was set aside back to `path` if nothing is there.

    For the only writer of `path`: whatever others have left or are writing is removed.
    """
    _undo(path, lambda _: True)


def remove_leftovers(path: Path) -> None:
    """Remove what killed writers of `path` have left beside it; also puts back what they had set aside last.

    What belongs to a process that lives stays, unless it is this one: in a container a restarted program has the number
    of the killed one.
    """
    _undo(path, lambda process: process == os.getpid() or not _lives(process))


def _undo(path: Path, due: Callable[[int], bool]) -> None:
    """Undo the writers of `path` whose process numbers are `due`."""
    for kind in ("old", "tmp"):
        for left in path.parent.glob(f".{escape(path.name)}.*.{kind}"):
            number = left.name.split(".")[-2]
            if not number.isdecimal() or not due(int(number)):
                continue
            if kind == "old" and not path.exists():
                left.rename(path)
            elif left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink(missing_ok=True)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True  # of another user
    return True


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yield a folder that becomes `path` when the block succeeds and is deleted when it fails.

    An existing `path` is set aside first, and removed when the new one is in place. What writers that were killed have
    left beside `path` is removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(path)
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
