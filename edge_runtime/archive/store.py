"""The archive as its one writer has it open: pictures go in, the oldest go out."""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import sqlite3
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from edge_runtime.archive.files import write_frame
from edge_runtime.archive.index import INDEX_NAME, add_frames, open_index
from edge_runtime.archive.record import ArchivedVerdict
from edge_runtime.archive.recovery import RecoveredArchive, recover
from edge_runtime.archive.retention import (
    ArchiveLimits,
    ArchiveSize,
    days_without_a_picture,
    labelled_size,
    prune,
    size_of,
)
from latentline.base.private_files import make_private_folder
from latentline.errors import ArchiveError

LOCK_NAME = "archive.lock"
_log = logging.getLogger(__name__)
_AGE_SECONDS = 60.0  # between two looks for pictures that are too old


class ArchiveStore:
    """Opens the archive in `folder`, after a recovery. One process at a time can; not thread-safe.

    recovered  what the recovery did
    held       what is in the archive now
    over       the limit that labelled pictures alone reach, as its setting is called, so that nothing more can be
               kept; None: there is room
    pruned     pictures that went because of a limit
    Raises ArchiveError when another process has it open or the folder is of something else, sqlite3.Error and OSError
    when the disk fails or the index is damaged.
    """

    def __init__(self, folder: Path, limits: ArchiveLimits) -> None:
        self._folder, self._limits = folder, limits
        self.pruned = 0
        self.over: str | None = None
        self._aged_at = 0.0
        self._told_gap = False
        self._newest = 0  # bytes
        with ExitStack() as stack:
            _lock(folder, stack)
            self.recovered: RecoveredArchive = recover(folder)
            self._database = stack.enter_context(open_index(folder / INDEX_NAME))
            self._inode = (folder / INDEX_NAME).stat().st_ino
            self.held: ArchiveSize = size_of(self._database)
            self._stack = stack.pop_all()

    def add(self, verdict: ArchivedVerdict, files: Mapping[str, bytes]) -> None:
        """Keep a picture, and let the oldest go where a limit is exceeded. Raises sqlite3.Error and OSError.

        files  as for `write_frame`
        """
        if not self.is_current():
            raise sqlite3.DatabaseError("somebody removed the index")
        write_frame(self._folder, verdict, files)
        self._database.execute("BEGIN IMMEDIATE")
        with self._database as transaction:
            add_frames(transaction, [verdict])
        self.held, self._newest = self.held.plus(verdict.size), verdict.size
        self.keep_limits()

    def keep_limits(self) -> None:
        """Let pictures go that are above a limit. Raises sqlite3.Error and OSError."""
        aged = self._limits.days is not None and time.monotonic() >= self._aged_at
        if not aged and self.over is None and self.held.above(self._limits) is None:
            return
        self._aged_at = time.monotonic() + _AGE_SECONDS
        self.pruned += prune(self._database, self._folder, self._limits_by_the_clock())
        self.held = size_of(self._database)  # another process may have removed some, too
        self.over = labelled_size(self._database).plus(self._newest).above(self._limits)

    def _limits_by_the_clock(self) -> ArchiveLimits:
        """The limits, without that of age while the clock may have jumped ahead."""
        days = self._limits.days
        gap = None if days is None else days_without_a_picture(self._database, days)
        if gap is None:
            return self._limits
        if not self._told_gap:
            _log.warning(
                "%s: by this machine's clock there was no picture for %.0f days; in case the clock has jumped, older "
                "ones are not removed by age until there are new ones of %g days (archive.max_days)",
                self._folder,
                gap,
                days,
            )
        self._told_gap = True
        return replace(self._limits, days=None)

    def is_current(self) -> bool:
        """Whether the index is still the file that was opened."""
        try:
            return (self._folder / INDEX_NAME).stat().st_ino == self._inode
        except OSError:
            return False

    def close(self) -> None:
        """Let another process open it."""
        self._stack.close()


def free_mib(folder: Path) -> float:
    """Free space where `folder` is, or will be. Raises OSError."""
    return shutil.disk_usage(_existing(folder)).free / (1 << 20)


def has_free_inodes(folder: Path) -> bool:
    """Whether the disk of `folder` takes another file; True where it does not count them. Raises OSError."""
    disk = os.statvfs(_existing(folder))
    return disk.f_files == 0 or disk.f_favail > 0


def _existing(folder: Path) -> Path:
    return next(path for path in (folder, *folder.absolute().parents) if path.exists())


def _lock(folder: Path, stack: ExitStack) -> None:
    if folder.exists() and not folder.is_dir():
        raise ArchiveError(f"archive.path: {folder} is not a folder; choose another path")
    make_private_folder(folder)
    descriptor = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o600)
    stack.callback(os.close, descriptor)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ArchiveError(f"archive.path: another station writes to {folder}; give each a folder of its own") from None
