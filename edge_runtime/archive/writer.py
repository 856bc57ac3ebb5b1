"""Archives frames in a thread of its own, so that neither a slow disk nor a full one holds up the inspection."""

from __future__ import annotations

import errno
import hashlib
import logging
import math
import os
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

from edge_runtime.archive.choice import FrameChoice
from edge_runtime.archive.files import MAP_ENDING, NEAREST_ENDING
from edge_runtime.archive.pictures import map_file, nearest_file, picture_file
from edge_runtime.archive.record import ArchivedVerdict
from edge_runtime.archive.retention import ArchiveLimits
from edge_runtime.archive.settings import ArchiveSection
from edge_runtime.archive.store import ArchiveStore, free_mib, has_free_inodes
from edge_runtime.archive.waiting import FrameBuffer, WaitingFrame
from edge_runtime.cameras.base import Frame
from edge_runtime.kept_thread import KeptThread
from edge_runtime.mqtt.events import defect_content, utc
from edge_runtime.pacing import RateLimitedLog
from edge_runtime.supervision.archive_numbers import ArchiveNumbers
from latentline.errors import ArchiveError
from latentline.inspection.result import InspectionResult
from latentline.package.identity import ModelIdentity
from latentline.vision.content import pixel_hash

_HANG_SECONDS = 15.0  # of one picture
_NICENESS = 19  # of the thread: compressing pictures takes no time from the inspection
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_PROBE_BYTES = 1 << 20
_log = logging.getLogger(__name__)


class ArchiveWriter:
    """Chooses among inspected frames and archives them. `offer` and `check` never wait.

    fault          called with (code, sentence or None); the codes are `archive` and `archive.limit`
    retry_seconds  after a failure; until then frames are dropped without a try
    """

    def __init__(
        self, settings: ArchiveSection, fault: Callable[[str, str | None], None], retry_seconds: float = 5.0
    ) -> None:
        self._settings, self._fault, self._retry_seconds = settings, fault, retry_seconds
        self._choice = FrameChoice(settings.shares, settings.seed)
        self._buffer = FrameBuffer()
        self._log = RateLimitedLog(_log, 60.0)
        self._dropped: Counter[str] = Counter()
        self._written = self._pruned = 0
        self._store: ArchiveStore | None = None
        self._trouble: tuple[str, str] | None = None  # cause and sentence
        self._retry_at = 0.0
        self._began: float | None = None
        self._hangs = False
        self.thread = KeptThread("archive", self._run)

    def offer(self, frame: Frame, inspection: InspectionResult, model: ModelIdentity, event_id: str | None) -> None:
        """Archive an inspected frame if it is chosen. Called by the station's thread."""
        why = self._choice.why(frame, inspection)
        if why is None:
            return
        if not self._buffer.put(WaitingFrame(frame, inspection, model, event_id, why)):
            self._dropped["queue full"] += 1
            self._log.warning("the archive cannot keep up, so some pictures are not archived; lower archive.shares")

    def check(self) -> None:
        """Report a disk that hangs. Call it about every second."""
        began = self._began
        hangs = began is not None and time.monotonic() - began > _HANG_SECONDS
        if hangs != self._hangs:
            self._hangs = hangs
            sentence = f"the archive's disk has not answered for {_HANG_SECONDS:g} s; nothing is archived until it does"
            self._fault("archive", sentence if hangs else None if self._trouble is None else self._trouble[1])

    @property
    def numbers(self) -> ArchiveNumbers:
        """The counters. Any thread may ask."""
        store = self._store
        held = (0, 0) if store is None else (store.held.pictures, store.held.size)
        pruned = self._pruned + (0 if store is None else store.pruned)
        return ArchiveNumbers(self._written, dict(self._dropped), pruned, len(self._buffer), *held)

    def close(self, seconds: float) -> None:
        """Archive what waits, in `seconds` at most; the rest is dropped and counted."""
        self._buffer.close()
        self.thread.join(seconds)
        if left := self._buffer.clear():
            self._dropped["station stopped"] += left

    def _run(self) -> None:
        with suppress(OSError, AttributeError):  # of this thread alone, on Linux
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
        try:
            while not self._buffer.closed:
                self._keep_open()
                waiting = self._buffer.get(self._retry_seconds)
                if waiting is not None:
                    self._archive(waiting)
        finally:
            self._close_store()

    def _keep_open(self) -> None:
        """Open the archive if it is not open, and find out whether a trouble is over."""
        if (self._store is None or self._trouble is not None) and time.monotonic() >= self._retry_at:
            self._attempt(self._probe)

    def _archive(self, waiting: WaitingFrame) -> None:
        if self._trouble is not None and (time.monotonic() < self._retry_at or not self._attempt(self._probe)):
            self._dropped[self._trouble[0]] += 1
            return
        try:
            if not self._attempt(lambda: self._write(waiting)) and self._trouble is not None:
                self._dropped[self._trouble[0]] += 1
        except Exception:  # of one picture; the next may be fine
            _log.exception("%s cannot be archived", waiting.frame.source)
            self._dropped["failed"] += 1

    def _write(self, waiting: WaitingFrame) -> None:
        self._refuse_without_room()
        suffix, picture = picture_file(waiting.frame.picture, self._settings)
        files = {
            suffix: picture,
            MAP_ENDING: map_file(waiting.inspection.anomaly_map),
            NEAREST_ENDING: nearest_file(waiting.inspection.reconstruction),
        }
        store = self._opened()
        if store.over is not None:
            store.keep_limits()
        if store.over is None:
            store.add(_verdict(waiting, suffix, picture, sum(map(len, files.values()))), files)
            self._written += 1
        else:
            self._dropped["limit"] += 1
        self._tell_limit(store)

    def _probe(self) -> None:
        """Open the archive; after a trouble first write and remove a file. Raises what the disk raises."""
        self._refuse_without_room()
        if self._trouble is not None and self._settings.path.is_dir():
            probe = self._settings.path / ".probe.tmp"
            try:
                probe.write_bytes(bytes(_PROBE_BYTES))  # SQLite does not always tell a full disk from a broken one
            finally:
                probe.unlink(missing_ok=True)
        store = self._opened()
        store.keep_limits()
        self._tell_limit(store)

    def _attempt(self, work: Callable[[], None]) -> bool:
        """Do `work`, with the archive opened anew after damage; False when it failed, which is then reported."""
        self._began = time.monotonic()
        try:
            try:
                work()
            except sqlite3.DatabaseError as error:
                if isinstance(error, sqlite3.OperationalError):
                    raise
                _log.warning("%s: the index is damaged (%s) and is made again", self._settings.path, error)
                self._close_store()
                work()
        except (OSError, sqlite3.Error, ArchiveError) as error:
            self._failed(error)
            return False
        finally:
            self._began = None
        if self._trouble is not None:
            self._trouble = None
            self._fault("archive", None)
        return True

    def _failed(self, error: Exception) -> None:
        self._retry_at = time.monotonic() + self._retry_seconds
        path = self._settings.path
        if isinstance(error, ArchiveError):
            self._trouble = ("not usable", str(error))
        elif _is_full(error):
            self._trouble = ("disk full", f"{self._no_room()}: nothing is archived until there is room")
        else:
            reason = getattr(error, "strerror", None) or error
            self._trouble = ("write error", f"{path} cannot be written ({reason}): nothing is archived until it can")
        self._fault("archive", self._trouble[1])
        self._close_store()  # a new look at the files when the trouble is over

    def _no_room(self) -> str:
        """What the disk lacks."""
        least, path = self._settings.min_free_mib, self._settings.path
        with suppress(OSError):
            if free_mib(path) < least:
                return f"less than {least} MiB (archive.min_free_mib) are free on the disk of {path}"
            if not has_free_inodes(path):
                return f"the disk of {path} takes no more files, it has no free inode"
        return f"the disk of {path} is full"

    def _refuse_without_room(self) -> None:
        least, path = self._settings.min_free_mib, self._settings.path
        if free_mib(path) < least:
            raise OSError(errno.ENOSPC, f"less than {least} MiB are free")

    def _tell_limit(self, store: ArchiveStore) -> None:
        sentence = (
            f"the labelled pictures in {self._settings.path} alone fill archive.{store.over}: nothing more is "
            "archived; export them and remove them with `latentline-edge archive prune --labelled`, or raise the limit"
        )
        self._fault("archive.limit", None if store.over is None else sentence)

    def _opened(self) -> ArchiveStore:
        if self._store is None:
            self._store = ArchiveStore(self._settings.path, ArchiveLimits.of(self._settings))
        return self._store

    def _close_store(self) -> None:
        store, self._store = self._store, None
        if store is not None:
            self._pruned += store.pruned
            store.close()


def _verdict(waiting: WaitingFrame, suffix: str, picture: bytes, size: int) -> ArchivedVerdict:
    frame, inspection, model = waiting.frame, waiting.inspection, waiting.model
    height, width, channels = frame.image.shape
    captured_at, pixels = utc(frame.captured_at), pixel_hash(frame.picture)
    source = frame.source.encode(errors="replace").decode()
    content = hashlib.sha256(f"{pixels}|{source}".encode()).hexdigest()
    clock = captured_at.translate(str.maketrans("", "", "-:."))
    return ArchivedVerdict(
        id=f"{clock}-{frame.camera}-{content[:12]}",
        event_id=waiting.event_id,
        captured_at=captured_at,
        camera=frame.camera,
        source=source,
        score=float(inspection.score),
        threshold=float(inspection.threshold),
        abnormal=bool(inspection.is_abnormal),
        components={name: float(value) for name, value in inspection.components.items() if math.isfinite(value)},
        model=model.sha256,
        model_name=model.name,
        defects=tuple(defect_content(defect) for defect in inspection.defects),
        width=width,
        height=height,
        channels=channels,
        pixels=pixels,
        why=waiting.why,
        suffix=suffix,
        picture_sha256=hashlib.sha256(picture).hexdigest(),
        picture_bytes=len(picture),
        size=size,
    )


def _is_full(error: Exception) -> bool:
    return "full" in str(error) if isinstance(error, sqlite3.Error) else getattr(error, "errno", None) in _FULL
