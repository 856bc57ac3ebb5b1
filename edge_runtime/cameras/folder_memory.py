"""Which pictures of a folder were given and inspected, also before a restart."""

from __future__ import annotations

import contextlib
import json
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_runtime.cameras.foreign_journal import is_foreign_journal
from edge_runtime.cameras.settings.folder import FolderSettings
from latentline.errors import CameraError

_PROCESSED = "processed"
_SPARE_LINES = 1000  # lines that the journal may have beyond the files in the folder, before it is rewritten


@dataclass(frozen=True)
class FolderPicture:
    """A file as a scan found it. With another size or time, the same name is another picture."""

    name: str
    size: int
    mtime_ns: int

    @classmethod
    def of(cls, path: Path) -> FolderPicture | None:
        """The picture at `path`; None if there is no such file."""
        try:
            found = path.stat()
        except OSError:
            return None
        return cls(path.name, found.st_size, found.st_mtime_ns) if stat.S_ISREG(found.st_mode) else None


class FolderMemory:
    """Remembers which pictures were given, and marks, moves or deletes inspected ones.

    The journal has one JSON line, [name, size, mtime_ns], for each inspected picture that is still in the folder. A
    line that was cut off by a power failure is ignored, and its picture is inspected again.
    """

    def __init__(self, settings: FolderSettings) -> None:
        self._name = settings.id
        self._folder = settings.source
        self._after = settings.memory
        self._chosen = settings.journal is not None  # so it may be another file by mistake
        self._journal = settings.journal or self._folder / f".latentline-{settings.id}.journal"
        self._given: dict[str, FolderPicture] = {}
        self._marked: dict[str, FolderPicture] = {}
        self._lines: int | None = None  # of the journal; None: not read yet

    def open(self) -> None:
        """Read the journal, and check that inspected pictures can be marked or moved. Raises CameraError."""
        try:
            if self._after == "mark" and self._lines is None:
                self._read_journal()
            elif self._after == "move":
                (self._folder / _PROCESSED).mkdir(exist_ok=True)
        except OSError as error:
            wanted = self._journal if self._after == "mark" else self._folder / _PROCESSED
            raise CameraError(
                f"camera {self._name}: {wanted} cannot be written ({error.strerror}), so pictures would be inspected "
                "again after a restart; make it writable, or set `journal` to a file that is, or `after: keep`"
            ) from None

    @property
    def survives_restart(self) -> bool:
        """Whether the next run continues where this one stops."""
        return self._after != "keep"

    def fresh(self, found: Sequence[FolderPicture]) -> list[FolderPicture]:
        """Those of `found`, all pictures of the folder, that were not given. Pictures that are gone are forgotten."""
        here = {picture.name for picture in found}
        for name in self._given.keys() - here:
            del self._given[name]
        return [picture for picture in found if self._given.get(picture.name) != picture]

    def given(self, picture: FolderPicture) -> None:
        """`picture` is given now."""
        self._given[picture.name] = picture

    def not_given(self, picture: FolderPicture) -> None:
        """`picture` was incomplete: it will be given again."""
        self._given.pop(picture.name, None)

    def done(self, picture: FolderPicture) -> None:
        """`picture` was inspected: mark, move or delete it, unless the file has changed. Raises CameraError."""
        path = self._folder / picture.name
        try:
            if self._after == "mark":
                self._mark(picture)
            elif self._after in ("move", "delete") and FolderPicture.of(path) == picture:
                if self._after == "move":
                    path.replace(self._free(self._folder / _PROCESSED / picture.name))
                else:
                    path.unlink()
        except FileNotFoundError:
            return  # somebody has removed it
        except OSError as error:
            verb = {"mark": "marked", "move": "moved", "delete": "deleted"}[self._after]
            raise CameraError(
                f"camera {self._name}: {path} was inspected but cannot be {verb} ({error.strerror}); "
                "it would be inspected again after a restart"
            ) from None

    @staticmethod
    def _free(path: Path) -> Path:
        """`path`, or if it exists, the first of name~1, name~2, … that does not."""
        free, number = path, 0
        while free.exists():
            number += 1
            free = path.with_name(f"{path.stem}~{number}{path.suffix}")
        return free

    def _mark(self, picture: FolderPicture) -> None:
        self._marked[picture.name] = picture
        self._lines = (self._lines or 0) + 1
        if self._lines > len(self._given) + _SPARE_LINES:
            self._write_journal()
            return
        with self._journal.open("a", encoding="ascii") as file:
            file.write(_line(picture))

    def _read_journal(self) -> None:
        if self._chosen and is_foreign_journal(self._journal):
            raise CameraError(f"camera {self._name}: {self._journal} is no journal; set `journal` to another path")
        with self._journal.open("a+", encoding="ascii", errors="replace") as file:
            file.seek(0)
            text = file.read()
        for line in text.splitlines():
            with contextlib.suppress(ValueError, TypeError):
                name, size, mtime_ns = json.loads(line)
                self._marked[str(name)] = FolderPicture(str(name), int(size), int(mtime_ns))
        self._given.update(self._marked)
        self._lines = text.count("\n")
        if not text.endswith("\n") and text:
            self._write_journal()  # a new line would continue the one that was cut off

    def _write_journal(self) -> None:
        """Rewrite the journal, without pictures that are gone."""
        here = {name: one for name, one in self._marked.items() if FolderPicture.of(self._folder / name) == one}
        temporary = self._journal.with_name(self._journal.name + ".new")
        temporary.write_text("".join(map(_line, here.values())), encoding="ascii")
        temporary.replace(self._journal)
        self._marked, self._lines = here, len(here)


def _line(picture: FolderPicture) -> str:
    return json.dumps([picture.name, picture.size, picture.mtime_ns]) + "\n"
