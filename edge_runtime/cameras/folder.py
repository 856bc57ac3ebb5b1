"""A folder of pictures as a camera: sorted by name; a watched folder then gives new pictures as they arrive."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from datetime import datetime, timezone

from edge_runtime.cameras.base import IDLE, Frame, Idle, as_hwc
from edge_runtime.cameras.folder_memory import FolderMemory, FolderPicture
from edge_runtime.cameras.settings.folder import FolderSettings
from latentline.errors import CameraError, ImageError
from latentline.vision.bit_depth import RawPicture

_POLL_SECONDS = 0.1
_PAUSE_FACTOR = 10  # pause between two scans, in times of a scan: a big folder costs a tenth of a core at most


class FolderCamera:
    """Gives each picture of a folder once. `memory` outlives this object and knows which were given.

    In a watched folder a file is given when its size and time have not changed for a while, so that a picture which is
    still being copied does not count as corrupt. If it does all the same, it is given again when it changes.
    """

    def __init__(self, settings: FolderSettings, memory: FolderMemory) -> None:
        self.name = settings.id
        self._folder = settings.source
        self._watch = settings.watch
        self._settle_seconds = settings.settle_seconds if settings.watch else 0.0
        self._memory = memory
        self._closed = threading.Event()
        self._ready: deque[tuple[FolderPicture, float]] = deque()  # and time.monotonic() when it was found
        self._growing: dict[str, tuple[FolderPicture, float]] = {}  # by name; since when it has not changed
        self._next_scan = 0.0
        self._number = 0

    def open(self) -> None:
        """Check that the folder is usable. Pictures that were given before are not given again. Raises CameraError."""
        self._closed.clear()
        if not self._folder.is_dir():
            raise CameraError(f"camera {self.name}: {self._folder} is not a folder")
        self._memory.open()
        found = self._scan()
        if not (found or self._watch or self._memory.survives_restart):
            raise CameraError(f"camera {self.name}: {self._folder} holds no picture")

    def read(self) -> Frame | Idle | None:
        """The next picture. Raises ImageError, with its name, if it is corrupt; CameraError if the folder is gone."""
        if not self._ready and self._watch and not self._closed.wait(self._next_scan - time.monotonic()):
            self._scan()
        if self._closed.is_set() or not (self._ready or self._watch):
            return None
        return self._frame(*self._ready.popleft()) if self._ready else IDLE

    def _frame(self, picture: FolderPicture, since: float) -> Frame | Idle:
        # Imported here because it needs OpenCV, whose absence `load_cv2` reports in a sentence.
        from latentline.vision.images import read_raw

        path = self._folder / picture.name
        captured_at = datetime.now(timezone.utc)
        read: RawPicture | ImageError
        try:
            read = read_raw(path)
        except ImageError as error:
            read = error
        if self._watch and FolderPicture.of(path) != picture:
            self._memory.not_given(picture)  # it has changed or is gone
            return IDLE
        number, self._number = self._number, self._number + 1
        if isinstance(read, ImageError):
            raise read
        # The name may hold any bytes, but an event is UTF-8.
        shown = os.fsencode(picture.name).decode("utf-8", "replace")
        since = since if self._watch else time.monotonic()
        image = as_hwc(read.image)
        return Frame(image, captured_at, self.name, shown, number, picture, since, claimed=read.claimed)

    def done(self, frame: Frame) -> None:
        """Mark, move or delete the file, as the settings say."""
        if isinstance(frame.ticket, FolderPicture):
            self._memory.done(frame.ticket)

    def close(self) -> None:
        """End a wait in `read`."""
        self._closed.set()

    def _scan(self) -> int:
        """Add new, complete pictures to `_ready`, sorted by name. Returns the number of pictures in the folder."""
        start = time.monotonic()
        found = self._pictures()
        now = time.monotonic()
        fresh = self._memory.fresh(found)
        growing = {}
        for picture in fresh:
            known, since = self._growing.get(picture.name, (None, now))
            since = since if known == picture else now
            if now - since >= self._settle_seconds:
                self._memory.given(picture)
                self._ready.append((picture, now))
            else:
                growing[picture.name] = (picture, since)
        self._growing = growing
        self._next_scan = now + max(_POLL_SECONDS, _PAUSE_FACTOR * (now - start))
        return len(found)

    def _pictures(self) -> list[FolderPicture]:
        from latentline.vision.images import list_images

        try:
            found = list_images(self._folder)
        except FileNotFoundError:
            raise CameraError(f"camera {self.name}: the folder {self._folder} is gone") from None
        except OSError as error:
            raise CameraError(f"camera {self.name}: {self._folder} cannot be read ({error.strerror})") from None
        return [picture for path in found if (picture := FolderPicture.of(path)) is not None]
