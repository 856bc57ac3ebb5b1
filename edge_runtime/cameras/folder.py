"""A folder of pictures as a camera: in the order of their names, and then, when watched, as they arrive."""

from __future__ import annotations

import threading
import time
from collections import deque
from datetime import datetime, timezone
from pathlib import Path

from edge_runtime.cameras.base import Frame, as_hwc
from latentline.errors import CameraError

_POLL_SECONDS = 0.1


class FolderCamera:
    """Pictures of `folder`, each read once.

    watch           keep waiting for new pictures; else the end of the folder is the end of the input
    settle_seconds  a watched file is read once its size and modification time stood still for so long, so a picture
                    that is still being copied is not taken for a broken one
    """

    def __init__(self, name: str, folder: Path, *, watch: bool = False, settle_seconds: float = 0.5) -> None:
        self.name = name
        self._folder = folder
        self._watch = watch
        self._settle_seconds = settle_seconds
        self._closed = threading.Event()
        self._ready: deque[Path] = deque()
        self._seen: set[str] = set()
        self._growing: dict[str, tuple[tuple[int, int], float]] = {}  # name -> ((bytes, mtime ns), since)
        self._number = 0

    def open(self) -> None:
        """Check that the folder is there. Pictures that were given before are not given again."""
        self._closed.clear()
        if not self._folder.is_dir():
            raise CameraError(f"camera {self.name}: {self._folder} is not a folder")
        self._look(settle_seconds=0.0 if not self._watch else self._settle_seconds)
        if not self._watch and not self._ready and not self._seen:
            raise CameraError(f"camera {self.name}: {self._folder} holds no picture")

    def read(self) -> Frame | None:
        """The next picture. A broken one raises ImageError that names it; a folder that vanished, CameraError."""
        # The decoder needs OpenCV; a station whose package imports without it can still say so in a sentence.
        from latentline.images import read_image

        path = self._next()
        if path is None:
            return None
        captured_at = datetime.now(timezone.utc)
        number, self._number = self._number, self._number + 1
        image = as_hwc(read_image(path))
        return Frame(image, captured_at, self.name, path.name, number)

    def close(self) -> None:
        """End a wait in `read`."""
        self._closed.set()

    def _next(self) -> Path | None:
        while not self._closed.is_set():
            if self._ready:
                return self._ready.popleft()
            if not self._watch:
                return None
            self._look(self._settle_seconds)
            if not self._ready:
                self._closed.wait(_POLL_SECONDS)
        return None

    def _look(self, settle_seconds: float) -> None:
        """Move the pictures that are whole from the folder to `_ready`, sorted by name."""
        from latentline.images import list_images

        try:
            found = list_images(self._folder)
            new = [(path, path.stat()) for path in found if path.name not in self._seen and path.is_file()]
        except FileNotFoundError:
            if self._folder.is_dir():
                return  # a file was taken away between listing and looking: the next round sees the rest
            raise CameraError(f"camera {self.name}: the folder {self._folder} is gone") from None
        except OSError as error:
            raise CameraError(f"camera {self.name}: {self._folder} cannot be read ({error.strerror})") from None
        names = {path.name for path in found}
        self._seen &= names  # what was taken away and comes again is a new picture
        self._growing = {name: value for name, value in self._growing.items() if name in names}
        now = time.monotonic()
        for path, stat in new:
            mark = (stat.st_size, stat.st_mtime_ns)
            known, since = self._growing.get(path.name, (None, now))
            if known != mark:
                since = now
            self._growing[path.name] = (mark, since)
            if now - since >= settle_seconds:
                del self._growing[path.name]
                self._seen.add(path.name)
                self._ready.append(path)
