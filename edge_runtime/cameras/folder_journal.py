"""The file in which a folder camera notes the pictures that were inspected."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable
from pathlib import Path

from edge_runtime.cameras.folder_picture import FolderPicture
from latentline.base.atomic import write_text


class FolderJournal:
    """One JSON line, [name, size, mtime_ns, ctime_ns, inode, digest], for each inspected picture; the last of a name
    counts. Lines of the first releases end after mtime_ns. A line {"folder": inode} names the folder itself.

    A line that was cut off by a power failure is ignored, and its picture is inspected again.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines = 0
        self.folder: int | None = None

    def read(self) -> dict[str, FolderPicture]:
        """The pictures by name; makes the file if there is none. Raises OSError if it cannot be written."""
        with self.path.open("a+", encoding="ascii", errors="replace") as file:
            file.seek(0)
            text = file.read()
        self.lines = text.count("\n")
        pictures, self.folder = _parse(text)
        if text and not text.endswith("\n"):
            self.rewrite(pictures.values())  # a new line would continue the one that was cut off
        return pictures

    def add(self, picture: FolderPicture) -> None:
        """Append a picture. Raises OSError."""
        self._append(_line(picture))

    def add_folder(self, inode: int) -> None:
        """Note which folder it is. Raises OSError."""
        self.folder = inode
        self._append(_folder_line(inode))

    def rewrite(self, pictures: Iterable[FolderPicture]) -> None:
        """Replace the file. Raises OSError."""
        lines = [*([] if self.folder is None else [_folder_line(self.folder)]), *map(_line, pictures)]
        write_text(self.path, "".join(lines))
        self.lines = len(lines)

    def _append(self, line: str) -> None:
        with self.path.open("a", encoding="ascii") as file:
            file.write(line)
        self.lines += 1


def read_old_journal(path: Path) -> dict[str, FolderPicture]:
    """The pictures in a journal that is not written any more; none if it cannot be read."""
    try:
        return _parse(path.read_text(encoding="ascii", errors="replace"))[0]
    except OSError:
        return {}


def _parse(text: str) -> tuple[dict[str, FolderPicture], int | None]:
    pictures: dict[str, FolderPicture] = {}
    folder: int | None = None
    for line in text.splitlines():
        with contextlib.suppress(ValueError, TypeError, KeyError):
            value = json.loads(line)
            if isinstance(value, dict):
                folder = int(value["folder"])
                continue
            name, size, mtime_ns = value[:3]
            ctime_ns, inode, digest = value[3:] if len(value) > 3 else (0, 0, None)
            picture = FolderPicture(str(name), int(size), int(mtime_ns), int(ctime_ns), int(inode), digest)
            pictures.pop(picture.name, None)  # the newest is the last
            pictures[picture.name] = picture
    return pictures, folder


def _line(picture: FolderPicture) -> str:
    fields = (picture.name, picture.size, picture.mtime_ns, picture.ctime_ns, picture.inode, picture.digest)
    return json.dumps(fields) + "\n"


def _folder_line(inode: int) -> str:
    return json.dumps({"folder": inode}) + "\n"
