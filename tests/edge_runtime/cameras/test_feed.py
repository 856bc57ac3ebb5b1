from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timezone

import numpy as np
import pytest

from edge_runtime.backoff import Backoff
from edge_runtime.cameras.base import Frame
from edge_runtime.cameras.feed import CameraFeed
from latentline.errors import CameraError, ImageError
from tests.waiting import wait_until


class ScriptedCamera:
    """Does what the list says: a number is a frame, an exception is raised, a callable is called and skipped."""

    name = "top"

    def __init__(self, script: list[int | Exception | Callable[[], object]]) -> None:
        self._script = script
        self.opened = 0

    def open(self) -> None:
        self.opened += 1

    def read(self) -> Frame | None:
        while self._script:
            step = self._script.pop(0)
            if isinstance(step, Exception):
                raise step
            if isinstance(step, int):
                return Frame(np.zeros((2, 2, 1), np.uint8), datetime.now(timezone.utc), "top", str(step), step)
            step()
        return None

    def close(self) -> None:
        pass


def _feed(camera: ScriptedCamera, *, lossless: bool, live: bool, faults: list[str | None] | None = None) -> CameraFeed:
    said = faults if faults is not None else []
    return CameraFeed(camera, lossless=lossless, live=live, backoff=Backoff(0.01, 0.02), on_fault=said.append)


def _drain(feed: CameraFeed) -> list[int]:
    numbers = []
    while not feed.ended:
        if (frame := feed.get(0.05)) is not None:
            numbers.append(frame.number)
    feed.close()
    return numbers


def test_lossless_hand_over_keeps_every_frame() -> None:
    """However slow the taker, every frame arrives in order."""
    feed = _feed(ScriptedCamera(list(range(50))), lossless=True, live=False)
    feed.start()
    wait_until(lambda: feed.frames >= 5, "the camera to fill the queue")
    assert feed.frames == 5  # four wait, and the camera with the fifth
    assert _drain(feed) == list(range(50))
    assert feed.dropped.total() == 0


def test_newest_frame_replaces_an_older_one() -> None:
    """Without a taker only the newest frame is left, and the others are counted as dropped."""
    feed = _feed(ScriptedCamera(list(range(50))), lossless=False, live=False)
    feed.start()
    wait_until(lambda: feed.frames == 50, "the camera to end")
    assert _drain(feed) == [49]
    assert feed.dropped == {"newer frame": 49, "station stopped": 0}


@pytest.mark.parametrize("fault", [CameraError("top: unplugged"), RuntimeError("driver")])
def test_live_camera_is_opened_again(fault: Exception) -> None:
    """A live camera that fails is named, opened again, and right again with its next frame."""
    faults: list[str | None] = []
    camera = ScriptedCamera([0, fault, 1])
    feed = _feed(camera, lossless=True, live=True, faults=faults)
    feed.start()
    assert _drain(feed) == [0, 1]
    assert camera.opened == 2 and feed.reopened == 1
    assert [str(f) for f in faults if f] and faults[-1] is None


def test_failure_of_an_input_with_an_end_stays_in_error() -> None:
    """A source that is not live ends at its failure, and the failure is kept for whoever asks."""
    feed = _feed(ScriptedCamera([0, CameraError("top: gone"), 1]), lossless=True, live=False)
    feed.start()
    assert _drain(feed) == [0]
    assert str(feed.error) == "top: gone"


def test_bad_image_is_counted_and_skipped() -> None:
    """A picture that cannot be read costs nothing but itself."""
    feed = _feed(ScriptedCamera([0, ImageError("a.png: cut"), 1]), lossless=True, live=False)
    feed.start()
    assert _drain(feed) == [0, 1]
    assert feed.bad_frames == 1


def test_silence_is_measured_and_close_does_not_hang() -> None:
    """A camera that hangs in a read shows as silent, and closing the feed still returns."""
    hang = threading.Event()
    feed = _feed(ScriptedCamera([hang.wait]), lossless=False, live=True)
    feed.start()
    wait_until(lambda: feed.silent_seconds > 0.05, "silence")
    feed.close(timeout=0.05)
    hang.set()
