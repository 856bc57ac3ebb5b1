"""From when on a frame has waited: in a driver, in a network, in a folder, in our own queue."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edge_runtime.cameras.base import Frame
from edge_runtime.cameras.device import DeviceCamera
from edge_runtime.cameras.factory import camera_maker
from edge_runtime.cameras.feeds import Feeds
from edge_runtime.cameras.settings.folder import FolderSettings
from edge_runtime.cameras.settings.opencv import DeviceSettings, StreamSettings
from edge_runtime.cameras.settings.simulator import SimulatorSettings
from edge_runtime.cameras.stream import StreamCamera
from edge_runtime.cameras.stream_clock import StreamClock
from tests.edge_runtime.cameras.scripted import FOLDER, ScriptedCamera, feeds_of, picture, take
from tests.edge_runtime.fakes import write_picture
from tests.waiting import wait_until


def _read(clock: StreamClock, frames: int, interval: float, speed: float, start: float = 100.0) -> list[float]:
    """How far each of `frames` is behind when the reader reads `speed` times as fast as the camera takes them."""
    return [clock.behind(start + n * interval / speed, 1.0 + n * interval) for n in range(frames)]


def test_a_reader_that_keeps_up_is_never_behind() -> None:
    """Jitter of the network is what it is, and no more."""
    rng, clock = np.random.default_rng(0), StreamClock()
    found = [clock.behind(100 + n / 25 + rng.uniform(0, 0.05), 1.0 + n / 25) for n in range(1000)]
    assert max(found) < 0.1


def test_a_reader_at_half_the_speed_falls_behind() -> None:
    """After a minute half a minute has piled up."""
    found = _read(StreamClock(), frames=750, interval=1 / 25, speed=0.5)
    assert found[0] == 0.0 and found[-1] == pytest.approx(30.0, abs=0.1)


def test_a_slow_clock_of_the_camera_is_no_backlog() -> None:
    """A clock that loses 100 ppm, 8.6 s a day, does not pile anything up."""
    clock = StreamClock()
    assert max(clock.behind(100 + n * 1.0001, 1.0 + n) for n in range(86_400)) < 0.01


@pytest.mark.parametrize("position", [0.0, 0.5])
def test_a_stream_that_starts_again_or_has_no_times_is_not_behind(position: float) -> None:
    """Times that go back are those of a new stream; times that stand still say nothing."""
    clock = StreamClock()
    _read(clock, frames=100, interval=0.1, speed=0.5)
    assert [clock.behind(200.0 + n, position) for n in range(3)] == [0.0, 0.0, 0.0]


class _Capture:
    """A capture whose driver stamps each frame `age` seconds before it is grabbed. clock: what it takes for now."""

    def __init__(self, age: float, clock: Any = time.monotonic) -> None:
        self._age, self._clock = age, clock

    def isOpened(self) -> bool:
        return True

    def set(self, *_: object) -> None:
        """Take any option."""

    def get(self, _: int) -> float:
        return float(1e3 * (self._clock() - self._age))

    def grab(self) -> bool:
        return True

    def retrieve(self) -> tuple[bool, np.ndarray]:
        return True, np.zeros((4, 4, 3), np.uint8)

    def release(self) -> None:
        """Nothing to release."""


def _device(capture: _Capture, opened_ago: float, monkeypatch: pytest.MonkeyPatch) -> float:
    """For how long the first frame of a device has waited, by its `captured_at`."""
    camera = DeviceCamera(DeviceSettings(kind="device", source=0))
    monkeypatch.setattr(camera._cv2, "VideoCapture", lambda *_: capture)
    camera.open()
    camera._opened -= opened_ago
    frame = camera.read()
    assert isinstance(frame, Frame)
    return (datetime.now(timezone.utc) - frame.captured_at).total_seconds()


def test_a_device_says_how_long_its_driver_kept_a_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    """V4L2 stamps frames with the monotonic clock; stamps of another clock, or none, say nothing."""
    assert 24 <= _device(_Capture(24.0), 60.0, monkeypatch) < 34
    for strange in (_Capture(24.0, time.time), _Capture(0.0, lambda: 0.0), _Capture(90.0)):
        assert _device(strange, 60.0, monkeypatch) < 10


@pytest.mark.parametrize(("source", "known"), [("rtsp://192.0.2.1/a", True), ("http://192.0.2.1/a.mjpg", False)])
def test_an_rtsp_stream_says_how_far_reading_is_behind(
    source: str, known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RTSP carries the camera's times. Those of MJPEG over HTTP are FFmpeg's, from a frame rate that it assumes."""
    camera = StreamCamera(StreamSettings(kind="stream", source=source))
    positions = iter([1.0, 2.0])
    capture = _Capture(0.0)
    monkeypatch.setattr(capture, "get", lambda _: 1e3 * next(positions))
    monkeypatch.setattr(camera._cv2, "VideoCapture", lambda *_: capture)
    now = [100.0]
    monkeypatch.setattr("edge_runtime.cameras.stream.time", SimpleNamespace(monotonic=lambda: now[0]))
    camera.open()
    camera.read()
    now[0] = 125.0  # one second of the stream has come in 25 of ours
    before = datetime.now(timezone.utc)
    frame = camera.read()
    assert isinstance(frame, Frame) and ((before - frame.captured_at).total_seconds() > 23) == known


def test_a_picture_in_a_watched_folder_waits_from_when_it_is_found(tmp_path: Path) -> None:
    """Reading the first picture of many says nothing of the last one: it has waited all the time."""
    for number in range(3):
        write_picture(tmp_path / f"{number}.png", 100)
    settings = FolderSettings(kind="folder", source=tmp_path, watch=True, settle_seconds=0, after="keep")
    camera = camera_maker(settings)()
    camera.open()
    found = time.monotonic()
    frames = [camera.read() for _ in range(3)]
    assert all(isinstance(frame, Frame) and frame.since <= found for frame in frames)
    camera.close()


@pytest.mark.parametrize(("age", "waited"), [(24.0, 24.0), (400.0, 60.0), (-400.0, 0.0)])
def test_a_frame_has_waited_since_it_was_taken(age: float, waited: float) -> None:
    """The time in a driver counts, by `captured_at`; a clock that has jumped makes no frame older than the opening of
    its camera, a minute ago, nor younger than its reading."""
    old = replace(picture(0), captured_at=datetime.now(timezone.utc) - timedelta(seconds=age))
    opened: list[Feeds] = []
    ready = threading.Event()

    def a_minute_later() -> None:
        ready.wait(10)
        opened[0]._feeds["top"]._opened_at -= 60

    with feeds_of(ScriptedCamera([a_minute_later, old]), every_frame=True) as feeds:
        opened.append(feeds)
        ready.set()
        frame = take(feeds)
        assert waited <= time.monotonic() - frame.since < waited + 10


def test_frames_that_wait_are_a_backlog_until_the_queue_is_empty() -> None:
    """It grows while `every_frame` of a live camera waits, and is over when all are taken; a pause is none."""
    with feeds_of(ScriptedCamera([0, 1, 2]), every_frame=True) as feeds:
        wait_until(lambda: feeds.states()["top"].frames >= 3, "the frames")
        take(feeds)
        wait_until(lambda: feeds.states()["top"].backlog_seconds > 0, "a backlog")
        take(feeds)
        take(feeds)
        wait_until(lambda: feeds.states()["top"].backlog_seconds == 0, "the end of the backlog")


@pytest.mark.parametrize(("kind", "every_frame"), [(FOLDER, True), ("live", False)])
def test_where_frames_may_wait_there_is_no_backlog(kind: str, every_frame: bool) -> None:
    """Pictures wait in their folder, and the newest frame replaces the one before."""
    with feeds_of(ScriptedCamera([0, 1, 2]), kind=kind, every_frame=every_frame) as feeds:
        wait_until(lambda: feeds.states()["top"].frames >= 3, "the frames")
        assert feeds.states()["top"].backlog_seconds == 0


def test_a_simulated_camera_piles_nothing_up() -> None:
    """It makes a frame when it is read."""
    assert not SimulatorSettings(kind="simulator", every_frame=True).piles_up
