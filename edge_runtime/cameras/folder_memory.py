"""Which pictures of a folder were given and inspected, also before a restart."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from edge_runtime.cameras.folder_journal import FolderJournal, read_old_journal
from edge_runtime.cameras.folder_picture import FolderPicture, content_digest
from edge_runtime.cameras.foreign_journal import is_foreign_journal
from edge_runtime.cameras.settings.folder import FolderSettings
from latentline.errors import CameraError

_log = logging.getLogger(__name__)
_PROCESSED = "processed"
_SPARE_LINES = 1000  # lines that the journal may have beyond the pictures, before it is rewritten
_MOST_ABSENT = 10_000  # pictures that are not in the folder and are still remembered: a share may come back
_COMPARE_SECONDS = 1.0  # for reading contents in one scan; the others wait for the next one


class FolderMemory:
    """Remembers which pictures were given, and marks, moves or deletes inspected ones.

    It forgets no picture because its file is gone: a share that vanishes for a moment brings all of them back.

    journal  for `after: mark`; None: a restart repeats all pictures
    """

    def __init__(self, settings: FolderSettings, journal: Path | None = None) -> None:
        self._name = settings.id
        self._folder = settings.source
        self._after = settings.memory
        self._chosen = settings.journal is not None  # so it may be another file by mistake
        self._journal = FolderJournal(journal) if journal is not None and self._after == "mark" else None
        self._old_journal = self._folder / f".latentline-{settings.id}.journal"
        self._known: dict[str, FolderPicture] = {}  # given in this run, or marked
        self._marked: dict[str, FolderPicture] = {}
        self._place: tuple[int, int] | None = None  # device and inode of the folder, when it held pictures
        self._left: set[str] = set()  # what it held then, and this camera did not remove
        self._taken_over: FolderPicture | None = None  # the old journal
        self._is_read = False

    def open(self) -> None:
        """Read the journal, and check that inspected pictures can be marked or moved. Raises CameraError."""
        wanted = self._folder / _PROCESSED if self._journal is None else self._journal.path
        try:
            if self._after == "move":
                wanted.mkdir(exist_ok=True)
            elif self._journal is not None and not self._is_read:
                self._read(self._journal)
        except OSError as error:
            raise CameraError(
                f"camera {self._name}: {wanted} cannot be written ({error.strerror}), so pictures would be inspected "
                "again after a restart; make it writable, or set `journal` to a file that is, or `after: keep`"
            ) from None

    @property
    def survives_restart(self) -> bool:
        """Whether the next run continues where this one stops."""
        return self._after != "keep"

    def fresh(self, found: Sequence[FolderPicture], seconds: float = _COMPARE_SECONDS) -> list[FolderPicture]:
        """Those of `found`, all pictures of the folder, that were not given.

        Some can only be told by their contents; reading them takes `seconds` at most, the others wait for the next
        call. Raises CameraError if the folder is empty and not the one that it was.
        """
        self._adopt_old_journal()
        self._check_place(found)
        until = time.monotonic() + seconds
        self._forget(found)
        return [picture for picture in found if not self._is_known(picture, until)]

    def given(self, picture: FolderPicture) -> None:
        """`picture` is given now."""
        self._known.pop(picture.name, None)  # the newest is the last
        self._known[picture.name] = picture

    def done(self, picture: FolderPicture) -> None:
        """`picture` was inspected: mark, move or delete it, unless the file has changed. Raises CameraError."""
        path = self._folder / picture.name
        try:
            if self._after == "mark":
                self._mark(picture)
            elif self._after in ("move", "delete") and self._unchanged(picture, path):
                if self._after == "move":
                    path.replace(self._free(self._folder / _PROCESSED / picture.name))
                else:
                    path.unlink()
                self._known.pop(picture.name, None)
                self._left.discard(picture.name)
        except FileNotFoundError:
            return  # somebody has removed it
        except OSError as error:
            verb = {"mark": "marked", "move": "moved", "delete": "deleted"}[self._after]
            raise CameraError(
                f"camera {self._name}: {path} was inspected but cannot be {verb} ({error.strerror}); "
                "it would be inspected again after a restart"
            ) from None

    def _is_known(self, picture: FolderPicture, until: float) -> bool:
        """Whether this picture was given. True also while it cannot be told: it waits."""
        known = self._known.get(picture.name)
        if known is None or not known.may_be(picture):
            return False
        if known != picture:
            if known.digest is None and known.ctime_ns:
                return False  # it could not be read, and now perhaps it can
            if time.monotonic() > until:
                return True
            try:
                digest = content_digest(self._folder / picture.name)
            except OSError:
                return True
            if known.digest not in (digest, None):
                return False
            self._known[picture.name] = replace(picture, digest=digest)
        return True

    def _unchanged(self, picture: FolderPicture, path: Path) -> bool:
        now = FolderPicture.of(path)
        if now is None or not now.may_be(picture):
            return False
        return now == picture or picture.digest in (None, content_digest(path))

    @staticmethod
    def _free(path: Path) -> Path:
        """`path`, or if it exists, the first of name~1, name~2, … that does not."""
        free, number = path, 0
        while free.exists():
            number += 1
            free = path.with_name(f"{path.stem}~{number}{path.suffix}")
        return free

    def _check_place(self, found: Sequence[FolderPicture]) -> None:
        """Tell a folder without pictures from a mount point without its file system."""
        try:
            status = self._folder.stat()
        except OSError as error:
            raise CameraError(f"camera {self._name}: {self._folder} cannot be read ({error.strerror})") from None
        device, inode = status.st_dev, status.st_ino
        if found:
            self._place, self._left = (device, inode), {picture.name for picture in found}
            if self._journal is not None and self._journal.folder != inode and self._marked:
                self._note(self._journal, inode)
            return
        if self._place is None:
            before = None if self._journal is None or not self._marked else self._journal.folder
            other = before not in (None, inode)
        else:
            other = bool(self._left) and self._place != (device, inode)
        if other:
            raise CameraError(
                f"camera {self._name}: {self._folder} is empty, and not the folder that it was; is its file system "
                "mounted? The first picture in it ends this fault"
            )

    @staticmethod
    def _note(journal: FolderJournal, inode: int) -> None:
        try:
            journal.add_folder(inode)
        except OSError as error:
            _log.warning("%s cannot be written (%s)", journal.path, error.strerror)

    def _mark(self, picture: FolderPicture) -> None:
        self._marked.pop(picture.name, None)
        self._marked[picture.name] = picture
        if self._journal is None:
            return
        if self._journal.lines > len(self._marked) + _SPARE_LINES:
            self._journal.rewrite(self._marked.values())
        else:
            self._journal.add(picture)

    def _forget(self, found: Sequence[FolderPicture]) -> None:
        """Drop the oldest of the pictures that are gone where they are too many, unless all are gone."""
        here = {picture.name for picture in found}
        for names in (self._known, self._marked):
            spare = len(names) - len(here) - _MOST_ABSENT
            if spare > 0 and not here.isdisjoint(names):
                for name in [name for name in names if name not in here][:spare]:
                    del names[name]

    def _read(self, journal: FolderJournal) -> None:
        if self._chosen and is_foreign_journal(journal.path):
            raise CameraError(f"camera {self._name}: {journal.path} is no journal; set `journal` to another path")
        self._marked = journal.read()
        self._known.update(self._marked)
        self._is_read = True
        if journal.path.absolute().parent == self._folder.absolute():
            _log.warning(
                "camera %s: the journal %s lies in the folder that it remembers, and vanishes along with it",
                self._name,
                journal.path,
            )

    def _adopt_old_journal(self) -> None:
        """Take over the journal that earlier releases wrote into the folder, whenever the folder shows it."""
        if self._journal is None or self._journal.path == self._old_journal:
            return
        there = FolderPicture.of(self._old_journal)
        if there is None or there == self._taken_over:
            return
        self._taken_over = there
        old = read_old_journal(self._old_journal)
        if missing := {name: picture for name, picture in old.items() if name not in self._marked}:
            self._marked = {**missing, **self._marked}
            self._known = {**missing, **self._known}
            try:
                self._journal.rewrite(self._marked.values())
            except OSError as error:
                _log.warning("%s cannot be written (%s)", self._journal.path, error.strerror)
                return  # and keep the old one
            _log.warning(
                "camera %s: the journal %s was taken over into %s, which does not vanish with the folder",
                self._name,
                self._old_journal,
                self._journal.path,
            )
        self._drop_old_journal()

    def _drop_old_journal(self) -> None:
        try:
            self._old_journal.unlink()
        except OSError as error:
            _log.info("%s cannot be deleted (%s)", self._old_journal, error.strerror)
