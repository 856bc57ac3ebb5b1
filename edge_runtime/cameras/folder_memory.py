"""Which pictures of a folder were given and inspected, over restarts."""

from __future__ import annotations

import contextlib
import json
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_runtime.cameras.settings import FolderSettings
from latentline.errors import CameraError

_PROCESSED = "processed"
_ROOM = 1000  # lines of the journal beyond the files that are there, before it is written anew


@dataclass(frozen=True)
class FolderPicture:
    """A file as it was when it was looked at. Another size or time under the same name is another picture."""

    name: str
    size: int
    mtime_ns: int

    @classmethod
    def of(cls, path: Path) -> FolderPicture | None:
        """The picture at `path`; None where no file is (any more)."""
        try:
            found = path.stat()
        except OSError:
            return None
        return cls(path.name, found.st_size, found.st_mtime_ns) if stat.S_ISREG(found.st_mode) else None


class FolderMemory:
    """What was given, and what is done with an inspected picture.

    The journal is one JSON line [name, size, mtime_ns] for each inspected picture that is still in the folder. A line
    that was cut by a power failure is passed over, and its picture inspected again.
    """

    def __init__(self, settings: FolderSettings) -> None:
        self._name = settings.id
        self._folder = settings.source
        self._after = settings.memory
        self._journal = settings.journal or self._folder / f".latentline-{settings.id}.journal"
        self._given: dict[str, FolderPicture] = {}
        self._marked: dict[str, FolderPicture] = {}
        self._lines: int | None = None  # of the journal; None: it was not yet read

    def open(self) -> None:
        """Read the journal, and see that what is to become of pictures is possible. Raises CameraError."""
        try:
            if self._after == "mark" and self._lines is None:
                self._read_journal()
            elif self._after == "move":
                (self._folder / _PROCESSED).mkdir(exist_ok=True)
        except OSError as error:
            wanted = self._journal if self._after == "mark" else self._folder / _PROCESSED
            raise CameraError(
                f"camera {self._name}: {wanted} cannot be written ({error.strerror}), so a restart would repeat "
                "pictures; make it writable, or set `journal` to a file that is, or `after: keep`"
            ) from None

    @property
    def keeps_account(self) -> bool:
        """Whether a restart goes on where this run stopped."""
        return self._after != "keep"

    def fresh(self, found: Sequence[FolderPicture]) -> list[FolderPicture]:
        """Those of all pictures `found` that were not given; one that is gone is forgotten, and new when it returns."""
        here = {picture.name for picture in found}
        for name in self._given.keys() - here:
            del self._given[name]
        return [picture for picture in found if self._given.get(picture.name) != picture]

    def given(self, picture: FolderPicture) -> None:
        """`picture` is being read."""
        self._given[picture.name] = picture

    def not_given(self, picture: FolderPicture) -> None:
        """`picture` was not whole after all: it is fresh again."""
        self._given.pop(picture.name, None)

    def done(self, picture: FolderPicture) -> None:
        """`picture` was inspected: mark, move or delete it, unless another took its name. Raises CameraError."""
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
            return  # whoever put it there took it away
        except OSError as error:
            verb = {"mark": "marked", "move": "moved", "delete": "deleted"}[self._after]
            raise CameraError(
                f"camera {self._name}: {path} was inspected but cannot be {verb} ({error.strerror}); "
                "a restart would inspect it again"
            ) from None

    @staticmethod
    def _free(path: Path) -> Path:
        """`path`, or where that is taken the first of name~1, name~2, … that is not."""
        free, number = path, 0
        while free.exists():
            number += 1
            free = path.with_name(f"{path.stem}~{number}{path.suffix}")
        return free

    def _mark(self, picture: FolderPicture) -> None:
        self._marked[picture.name] = picture
        self._lines = (self._lines or 0) + 1
        if self._lines > len(self._given) + _ROOM:
            self._write_journal()
            return
        with self._journal.open("a", encoding="ascii") as file:
            file.write(_line(picture))

    def _read_journal(self) -> None:
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
            self._write_journal()  # a next line would continue the one that was cut

    def _write_journal(self) -> None:
        """Write the journal anew, without pictures that are gone."""
        here = {name: one for name, one in self._marked.items() if FolderPicture.of(self._folder / name) == one}
        draft = self._journal.with_name(self._journal.name + ".new")
        draft.write_text("".join(map(_line, here.values())), encoding="ascii")
        draft.replace(self._journal)
        self._marked, self._lines = here, len(here)


def _line(picture: FolderPicture) -> str:
    return json.dumps([picture.name, picture.size, picture.mtime_ns]) + "\n"
