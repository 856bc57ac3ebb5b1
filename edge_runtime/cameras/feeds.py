"""All cameras of a station as one source of frames."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from edge_runtime.cameras.base import Camera, Frame
from edge_runtime.cameras.factory import camera_maker
from edge_runtime.cameras.feed import Feed
from edge_runtime.cameras.report import CameraReport
from edge_runtime.cameras.settings.common import CommonSettings
from edge_runtime.kept_thread import KeptThread
from latentline.errors import CameraError


class Feeds:
    """Runs every camera in threads of its own, and takes their frames in turn, so that a fast one starves none.

    on_fault  called by the cameras' threads: with ("camera.{id}", sentence) when a camera fails or stalls, with
              ("camera.{id}", None) when it gives frames again; with "camera.{id}.done" when an inspected file cannot
              be marked or moved, and when it can
    cameras   functions that make cameras, by id; they replace those that follow from the settings
    Raises CameraError if a camera can never work here, e.g. because a library is missing. A live camera that is absent
    is no error but a fault: the feeds keep trying.
    """

    def __init__(
        self,
        settings: Sequence[CommonSettings],
        on_fault: Callable[[str, str | None], None],
        *,
        cameras: Mapping[str, Callable[[], Camera]] | None = None,
    ) -> None:
        self._changed = threading.Condition()
        makers = cameras or {}
        feeds = [Feed(one, makers.get(one.id) or camera_maker(one), self._changed, on_fault) for one in settings]
        self._feeds = {feed.settings.id: feed for feed in feeds}
        self._turns = deque(feeds)

    def start(self) -> None:
        """Open and read every camera, in the background."""
        for feed in self._feeds.values():
            feed.start()

    @property
    def threads(self) -> list[KeptThread]:
        """The threads that supervise the cameras."""
        return [feed.thread for feed in self._feeds.values()]

    def get(self, timeout: float) -> Frame | None:
        """The next frame. None after `timeout` seconds without one, and at the end (see `ended`)."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while (frame := self._take()) is None:
                left = deadline - time.monotonic()
                if left <= 0 or self._ended():
                    return None
                self._changed.wait(left)
            return frame

    @property
    def ended(self) -> bool:
        """Whether every input has ended and every frame was taken."""
        with self._changed:
            return self._ended()

    @property
    def error(self) -> CameraError | None:
        """Why a file or folder ended early; None if none did."""
        return next((feed.error for feed in self._feeds.values() if feed.error is not None), None)

    @property
    def stuck(self) -> bool:
        """Whether no camera can be read any more, because all hang in their drivers."""
        return all(feed.stuck for feed in self._feeds.values())

    def pause(self) -> None:
        """Give no frames until `resume`. Files wait; frames of live cameras are dropped and counted."""
        for feed in self._feeds.values():
            feed.pause(True)

    def resume(self) -> None:
        """Give frames again."""
        for feed in self._feeds.values():
            feed.pause(False)

    def trigger(self, camera: str | None = None) -> list[str]:
        """Ask the triggered cameras, or only `camera`, for a frame. Returns the ids of those that will take one."""
        asked = [feed for name, feed in self._feeds.items() if camera in (None, name)]
        return [feed.settings.id for feed in asked if feed.trigger()]

    def done(self, frame: Frame) -> None:
        """`frame` is no longer needed: it was inspected and its event is on disk, or it was given up."""
        self._feeds[frame.camera].done(frame)

    def states(self) -> dict[str, CameraReport]:
        """State and counters of each camera, by id."""
        return {name: feed.report() for name, feed in self._feeds.items()}

    def close(self, timeout: float = 5.0) -> None:
        """Stop reading and release the cameras. One that hangs is left behind after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        for feed in self._feeds.values():
            feed.close()
        for feed in self._feeds.values():
            feed.join(deadline)

    def _take(self) -> Frame | None:
        for _ in range(len(self._turns)):
            self._turns.rotate(-1)
            if (frame := self._turns[-1].take()) is not None:
                return frame
        return None

    def _ended(self) -> bool:
        return all(feed.ended for feed in self._feeds.values())
