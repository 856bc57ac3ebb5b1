"""What the page shows live: made in two threads of the page, from what the station leaves for it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from edge_runtime.cameras.base import Frame
from edge_runtime.kept_thread import KeptThread
from edge_runtime.pacing import RateLimitedLog
from edge_runtime.page.latest import LatestFrames
from edge_runtime.page.pictures import frame_jpeg, heat_png
from edge_runtime.supervision.snapshot import Snapshot
from latentline.inspection.result import InspectionResult
from latentline.vision.region import Box

_FASTEST = 0.2  # seconds between two pictures while somebody watches
_UNSEEN = 1.0  # seconds, while nobody does
_KEPT = 4  # frames of a camera, for a browser that asks for a picture late
_SHARE = 0.1  # of one core that pictures may take
_STATE_SECONDS = 1.0


@dataclass(frozen=True)
class ShownFrame:
    """One of the newest frames of a camera, encoded.

    number        counts the shown frames of all cameras
    size          (width, height) of the frame, pixels
    boxes         of its defects: x, y, width, height in pixels of the frame
    region        what was inspected, like a box; None: the whole frame
    picture       JPEG; heat: PNG of the anomaly map, transparent where all is normal
    """

    number: int
    abnormal: bool
    score: float
    threshold: float
    captured_at: str
    source: str
    size: tuple[int, int]
    boxes: tuple[Box, ...]
    region: Box | None
    milliseconds: float
    picture: bytes
    heat: bytes


class LiveFeed:
    """Encodes the newest frames and asks for the station's state, each in a thread of its own: either may hang.

    snapshot  returns the state of the station
    changed   called after anything new, from these threads; must not raise
    """

    def __init__(self, latest: LatestFrames, snapshot: Callable[[], Snapshot]) -> None:
        self._latest, self._take_snapshot = latest, snapshot
        self._closing = threading.Event()
        self._log = RateLimitedLog(logging.getLogger(__name__))
        self._number = 0
        self.threads = (
            KeptThread("page pictures", self._show_frames),
            KeptThread("page state", self._read_state),
        )
        self.changed: Callable[[], None] = lambda: None
        self.viewers = 0
        self.shown: dict[str, tuple[ShownFrame, ...]] = {}  # by camera, the newest first
        self.state: tuple[float, Snapshot] | None = None  # with the time.monotonic() of it

    def start(self) -> None:
        """Start both threads."""
        for thread in self.threads:
            thread.start()

    def close(self) -> None:
        """End both threads; one that hangs is left behind."""
        self._closing.set()
        for thread in self.threads:
            thread.join(0.3)

    @property
    def tallies(self) -> Mapping[str, tuple[int, int, float]]:
        """By camera: good and abnormal frames since the start, and frames per second."""
        now = self._latest.clock()
        return {name: (t.ok, t.abnormal, t.rate(now)) for name, t in list(self._latest.tallies.items())}

    def _show_frames(self) -> None:
        pause = 0.0
        while not self._closing.wait(pause):
            if not self._latest.wait(_FASTEST):
                pause = 0.0
                continue
            start = time.monotonic()
            for frame, inspection in self._latest.take():
                try:
                    self._number += 1
                    newest = _encoded(self._number, frame, inspection)
                    self.shown[frame.camera] = (newest, *self.shown.get(frame.camera, ())[: _KEPT - 1])
                except Exception as error:  # an odd picture must not end the thread
                    self._log.warning(f"a frame of {frame.camera} cannot be shown on the page ({error})")
            frame = inspection = None  # type: ignore[assignment]  # they may be large
            self.changed()
            pause = self._pause(time.monotonic() - start)

    def _pause(self, spent: float) -> float:
        """Seconds until the next pictures, so that these threads take no core from the inspection."""
        if not self.viewers:
            return _UNSEEN
        return max(_FASTEST - spent, spent * (1 / _SHARE - 1) if spent > _FASTEST * _SHARE else 0.0)

    def _read_state(self) -> None:
        while not self._closing.is_set():
            self.state = time.monotonic(), self._take_snapshot()
            self.changed()
            self._closing.wait(_STATE_SECONDS)


def _encoded(number: int, frame: Frame, inspection: InspectionResult) -> ShownFrame:
    height, width = frame.image.shape[:2]
    return ShownFrame(
        number,
        inspection.is_abnormal,
        inspection.score,
        inspection.threshold,
        frame.captured_at.isoformat(timespec="milliseconds"),
        frame.source,
        (width, height),
        tuple(defect.bbox for defect in inspection.defects),
        inspection.region,
        sum(inspection.milliseconds.values()),
        frame_jpeg(frame.picture),
        heat_png(inspection.anomaly_map),
    )
