"""A folder of pictures as a camera: sorted by name; a watched folder then gives new pictures as they arrive."""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from collections import deque
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path

from edge_runtime.cameras.base import IDLE, BadFrame, Frame, Idle, as_hwc
from edge_runtime.cameras.folder_memory import FolderMemory
from edge_runtime.cameras.folder_picture import FolderPicture
from edge_runtime.cameras.folder_settling import FolderSettling
from edge_runtime.cameras.settings.folder import FolderSettings
from edge_runtime.cameras.work_journal import WorkJournal
from latentline.errors import CameraError, ImageError
from latentline.vision.bit_depth import RawPicture

_log = logging.getLogger(__name__)
_POLL_SECONDS = 0.1
_NAMED = 20  # pictures in one sentence; the log names each
_PAUSE_FACTOR = 10  # pause between two scans, in times of a scan: a big folder costs a tenth of a core at most


class FolderCamera:
    """Gives each picture of a folder once.

    In a watched folder a file is given when it has not changed for a while, so that a picture which is still being
    copied does not count as corrupt. If it does all the same, it is given again when it changes.

    memory  outlives this object and knows which pictures were given
    work    notes the picture that is being decoded, and knows which ones are set aside
    """

    def __init__(self, settings: FolderSettings, memory: FolderMemory, work: WorkJournal) -> None:
        self.name = settings.id
        self._folder = settings.source
        self._watch = settings.watch
        self._memory, self._work = memory, work
        self._settling = FolderSettling(settings.id, self._folder, settings.settle_seconds if self._watch else 0.0)
        self._closed = threading.Event()
        self._ready: deque[tuple[FolderPicture, float]] = deque()  # and time.monotonic() when it was found
        self._set_aside: set[str] = set()
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

    def _frame(self, picture: FolderPicture, since: float) -> Frame | Idle | None:
        path, captured_at = self._folder / picture.name, datetime.now(timezone.utc)
        restless = self._settling.restless(picture)
        read: RawPicture | Idle | ImageError
        try:
            picture = picture.identified(path)  # waits for the disk or the network, so that the decoder need not
            read = self._decode(path, self._lasting(picture))
        except OSError as error:
            read = ImageError(f"{path}: cannot be read ({error.strerror})")
        except ImageError as error:
            read = error
        if self._closed.is_set():
            return None  # another reader has taken over
        if isinstance(read, Idle):
            self._ready.appendleft((picture, since))
            self._closed.wait(_POLL_SECONDS)
            return IDLE
        if self._watch and (FolderPicture.of(path) != picture or (restless and isinstance(read, ImageError))):
            self._settling.put_off(picture)  # it has changed, is gone, or is not complete
            return IDLE
        self._settling.given(picture)
        self._memory.given(picture)
        number, self._number = self._number, self._number + 1
        if isinstance(read, ImageError):
            raise read
        # The name may hold any bytes, but an event is UTF-8.
        shown = os.fsencode(picture.name).decode("utf-8", "replace")
        since = since if self._watch else time.monotonic()
        lasting, image = self._lasting(picture), as_hwc(read.image)
        return Frame(image, captured_at, self.name, shown, number, picture, lasting, since, claimed=read.claimed)

    def _lasting(self, picture: FolderPicture) -> str:
        return f"{self.name}/{picture.name}/{picture.digest}"

    def _decode(self, path: Path, lasting: str) -> RawPicture | Idle:
        """The picture at `path`; IDLE if it must wait. Raises ImageError; one that is set aside is a BadFrame."""
        # Imported here because it needs OpenCV, whose absence `load_cv2` reports in a sentence.
        from latentline.vision.images import read_raw

        admission = self._work.begin(lasting)
        if admission == "later":
            return IDLE
        if admission == "set_aside":
            self._set_aside.add(path.name)
            sentence = f"{path} is set aside: the station ended twice while it was in work"
            _log.warning("camera %s: %s", self.name, sentence)
            raise BadFrame(sentence, "set aside")
        try:
            raw = read_raw(path)
        except Exception as error:
            if not self._closed.is_set():
                self._work.end(lasting)
            if isinstance(error, ImageError):
                raise
            # The decoder's, or no memory: the fault of the picture, and not the camera's.
            raise ImageError(f"{path}: cannot be decoded ({type(error).__name__}: {error})") from None
        if not self._closed.is_set():  # else it has hung here
            self._work.decoded(lasting)
        return raw

    def done(self, frame: Frame) -> None:
        """Mark, move or delete the file, as the settings say."""
        if isinstance(frame.ticket, FolderPicture):
            self._memory.done(frame.ticket)

    def warnings(self) -> Mapping[str, str | None]:
        """`set_aside` while such pictures lie in the folder, `unsettled` while one never stops to change."""
        names = sorted(self._set_aside)
        listed = ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
        sentence = (
            f"camera {self.name}: {listed} in {self._folder} is not inspected: the station ended twice while it "
            "was in work; look at it and remove it"
        )
        return {"set_aside": sentence if names else None, "unsettled": self._settling.warning}

    def close(self) -> None:
        """End a wait in `read`."""
        self._closed.set()

    def _scan(self) -> int:
        """Add new, complete pictures to `_ready`, sorted by name. Returns the number of pictures in the folder."""
        start = time.monotonic()
        found = self._pictures()
        fresh = self._memory.fresh(found) if self._watch else self._memory.fresh(found, math.inf)
        self._ready.extend((picture, time.monotonic()) for picture in self._settling.ready(fresh))
        self._set_aside.intersection_update(picture.name for picture in found)
        now = time.monotonic()
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
