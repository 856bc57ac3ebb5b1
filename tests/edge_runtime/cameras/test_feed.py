from __future__ import annotations

import threading
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pytest

from edge_runtime.cameras.base import IDLE, BadFrame, Frame
from edge_runtime.cameras.feeds import Feeds
from edge_runtime.cameras.settings.folder import FolderSettings
from edge_runtime.cameras.settings.simulator import SimulatorSettings
from latentline.errors import CameraError, ImageError
from tests.edge_runtime.cameras.scripted import (
    FILE,
    FOLDER,
    ScriptedCamera,
    SteppedCamera,
    TrackingCamera,
    drain,
    feeds_of,
    picture,
    take,
)
from tests.waiting import wait_until

Faults = list[tuple[str, str | None]]


def test_lossless_feed_keeps_every_frame() -> None:
    """However slow the station is, every frame arrives in order, and at most four of them wait."""
    with feeds_of(ScriptedCamera(list(range(50))), kind=FILE) as feeds:
        wait_until(lambda: feeds.states()["top"].frames >= 4, "the camera to fill the queue")
        assert feeds.states()["top"].frames == 4
        assert drain(feeds) == list(range(50))
        assert feeds.states()["top"].dropped == {}


def test_newest_frame_replaces_an_older_one() -> None:
    """If nobody takes frames, only the newest one is kept, and the others are counted as dropped."""
    with feeds_of(ScriptedCamera(list(range(50)))) as feeds:
        wait_until(lambda: feeds.states()["top"].frames == 50, "the camera to end")
        assert drain(feeds) == [49]
        assert feeds.states()["top"].dropped == {"newer frame": 49}


@pytest.mark.parametrize("fault", [CameraError("top: unplugged"), RuntimeError("driver at rtsp://me:secret@host")])
def test_live_camera_is_opened_again(fault: Exception, caplog: pytest.LogCaptureFixture) -> None:
    """A live camera that fails is a fault until it has been reopened and gives a frame; frame numbers continue."""
    faults: Faults = []
    with feeds_of(ScriptedCamera([0, 1, fault]), ScriptedCamera([0, 1]), every_frame=True, faults=faults) as feeds:
        assert drain(feeds) == [0, 1, 2, 3]
        assert feeds.states()["top"].reopened == 1
        wait_until(lambda: len(faults) == 2, "both reports")
    assert faults[0][0] == "camera.top" and faults[0][1] and faults[1] == ("camera.top", None)
    assert "secret" not in str(faults) + caplog.text


def test_camera_that_is_absent_at_start_is_tried_again() -> None:
    """A live camera that does not open is a fault, and gives frames once it opens."""
    absent = ScriptedCamera(at_open=CameraError("top: is it plugged in?"))
    faults: Faults = []
    with feeds_of(absent, absent, ScriptedCamera([0]), faults=faults) as feeds:
        assert drain(feeds) == [0]
        wait_until(lambda: faults[-1:] == [("camera.top", None)], "the fault to go")
        assert faults[0] == ("camera.top", "top: is it plugged in?")
        assert feeds.states()["top"].reopened == 0


def test_error_of_a_file_is_kept() -> None:
    """A source that is not live ends when it fails, and the error can be read afterwards."""
    with feeds_of(ScriptedCamera([0, CameraError("top: gone"), 1]), kind=FILE) as feeds:
        assert drain(feeds) == [0]
        assert str(feeds.error) == "top: gone"
        report = feeds.states()["top"]
        assert (report.state, report.reason) == ("ended", "top: gone")


def test_unusable_frames_are_counted_by_cause_and_skipped() -> None:
    """Frames that are unreadable or no images are counted and skipped; the size may change between frames."""
    steps: list[Frame | Exception] = [
        picture(0, shape=(4, 6, 3)),
        ImageError("a.png: cut"),
        BadFrame("top: frame 1 is not whole", "lost packets"),
        picture(1, shape=(2, 2)),
        picture(2, shape=(2, 2, 4)),
        picture(3, shape=(0, 2, 1)),
        picture(4, dtype=np.float32),
        picture(5, shape=(9, 2, 1)),
    ]
    with feeds_of(ScriptedCamera(steps), every_frame=True) as feeds:
        assert [take(feeds).image.shape for _ in range(2)] == [(4, 6, 3), (9, 2, 1)]
        report = feeds.states()["top"]
        assert report.bad_causes == {"unreadable": 1, "lost packets": 1, "garbage": 4}
        assert report.bad == 6


@pytest.mark.parametrize("where", ["open", "read"])
def test_camera_that_hangs_is_left_behind(where: str) -> None:
    """A call that does not return is a stall: a new camera replaces the old one, whose frames are ignored."""
    hang = threading.Event()
    stuck = ScriptedCamera([hang.wait, 7], at_open=hang.wait if where == "open" else None)
    faults: Faults = []
    with feeds_of(stuck, SteppedCamera(), faults=faults, stall_seconds=0.05, open_seconds=0.05) as feeds:
        feed = feeds._feeds["top"]
        wait_until(lambda: faults, "the stall to be named")
        assert "is stalled: " + ("device 0 did not open" if where == "open" else "no usable frame") in str(faults[0][1])
        assert stuck.closed.is_set()
        hang.set()
        wait_until(lambda: not any(reader.alive for reader in feed._supervisor.hung), "the thread that hung to end")
        assert feeds.states()["top"].frames == 0
        assert feeds.states()["top"].stalls >= 1


def test_camera_that_only_gives_garbage_is_stalled() -> None:
    """A live camera that gives only unusable frames is stalled."""

    class Broken(ScriptedCamera):
        def read(self) -> None:
            self.closed.wait(0.005)  # the frame period of the camera
            raise BadFrame("top: not whole", "lost packets")

    faults: Faults = []
    with feeds_of(Broken(), faults=faults, stall_seconds=0.05) as feeds:
        wait_until(lambda: feeds.states()["top"].stalls, "a stall")
        wait_until(lambda: faults, "its report")
        assert "no usable frame" in str(faults[0][1])


def test_threads_that_hang_are_bounded() -> None:
    """A driver in which every read hangs costs four threads, not one per attempt; until one comes back, no camera can
    be read."""
    hang = threading.Event()
    made: list[ScriptedCamera] = []

    class Hanging(ScriptedCamera):
        def read(self) -> None:
            made.append(self)
            hang.wait()

    faults: Faults = []
    with feeds_of(Hanging(), faults=faults, stall_seconds=0.02) as feeds:
        assert not feeds.stuck
        wait_until(lambda: "restart the station" in str(faults), "the limit")
        assert len(made) == 4 and feeds.stuck
        hang.set()
        wait_until(lambda: len(made) > 4, "another try once they came back")
        assert not feeds.stuck


def test_silent_folder_is_no_stall() -> None:
    """A source that returns IDLE is not stalled; one that does not return is."""
    hang = threading.Event()
    idle = ScriptedCamera([IDLE] * 5 + [lambda: threading.Event().wait(0.03)] * 5 + [IDLE, hang.wait, IDLE])
    with feeds_of(idle, SteppedCamera(), kind=FOLDER, stall_seconds=0.2) as feeds:
        wait_until(lambda: feeds.states()["top"].stalls == 1, "the stall")
        hang.set()


def test_file_that_hangs_is_stalled_but_not_reopened() -> None:
    """A video file on a share that is gone is stalled, and later continues where it was; no frame comes twice."""
    hang = threading.Event()
    faults: Faults = []
    with feeds_of(ScriptedCamera([0, hang.wait, 1]), kind=FILE, faults=faults, stall_seconds=0.05) as feeds:
        assert take(feeds).number == 0
        wait_until(lambda: feeds.states()["top"].state == "stalled", "the stall")
        hang.set()
        assert drain(feeds) == [1]
        wait_until(lambda: faults[-1:] == [("camera.top", None)], "the fault to go")
        assert feeds.states()["top"].stalls == 1


def test_a_slow_inspector_is_no_stall() -> None:
    """A camera that is not read because its queue is full is not stalled."""
    with feeds_of(ScriptedCamera(list(range(9))), every_frame=True, stall_seconds=0.02) as feeds:
        wait_until(lambda: feeds.states()["top"].frames == 4, "a full queue")
        waited = threading.Event().wait(0.2)  # the slow inspector itself
        assert not waited and feeds.states()["top"].stalls == 0
        assert drain(feeds) == list(range(9))


def test_pause_drops_frames_of_a_live_camera() -> None:
    """While paused, a live camera is read, and its frames are dropped and counted; afterwards it gives new ones."""
    camera = SteppedCamera()
    with feeds_of(camera) as feeds:
        feeds.pause()
        for _ in range(3):
            camera.step.release()
        wait_until(lambda: feeds.states()["top"].dropped.get("paused") == 3, "the frames to be dropped")
        assert feeds.get(0.0) is None
        feeds.resume()
        camera.step.release()
        assert take(feeds).number == 3


def test_pause_loses_nothing_of_a_file() -> None:
    """After a pause a file gives all its frames."""
    with feeds_of(ScriptedCamera(list(range(20))), kind=FILE) as feeds:
        assert take(feeds).number == 0
        feeds.pause()
        assert feeds.get(0.0) is None and not feeds.ended
        feeds.resume()
        assert drain(feeds) == list(range(1, 20))


def test_trigger_takes_a_frame_that_was_exposed_after_it() -> None:
    """With `trigger: command`, frames without a trigger are dropped, also one whose read began before the trigger."""
    camera = SteppedCamera()
    with feeds_of(camera, trigger="command") as feeds:
        camera.step.release()
        wait_until(lambda: feeds.states()["top"].dropped.get("no trigger") == 1, "the first frame")
        reader = feeds._feeds["top"].reader
        assert reader is not None
        wait_until(lambda: reader.busy, "the next read")
        assert feeds.trigger() == ["top"]
        camera.step.release(2)
        assert take(feeds).number == 2
        assert feeds.states()["top"].dropped["no trigger"] == 2
        assert feeds.trigger("side") == []


def test_triggered_folder_waits_for_the_command() -> None:
    """With `trigger: command`, a folder gives one picture for each trigger."""
    with feeds_of(ScriptedCamera([0, 1, 2]), kind=FOLDER, trigger="command") as feeds:
        wait_until(lambda: feeds.trigger("top"), "the folder to open")
        assert take(feeds).number == 0
        assert feeds.states()["top"].frames == 1
        assert feeds.trigger() == ["top"]
        assert take(feeds).number == 1


def test_camera_with_its_own_trigger_is_triggered() -> None:
    """A camera that supports triggers gets one for each frame, and its silence between them is no stall."""

    class Triggered(ScriptedCamera):
        exposures = 0
        given = 0

        def trigger(self) -> None:
            self.exposures += 1

        def read(self):  # type: ignore[no-untyped-def]
            if self.closed.wait(0.01):
                return None
            if self.given == self.exposures:
                return IDLE
            self.given += 1
            return picture(self.given - 1)

    camera = Triggered()
    with feeds_of(camera, trigger="command", stall_seconds=0.05) as feeds:
        wait_until(feeds.trigger, "the camera to open")
        assert take(feeds).number == 0
        assert not threading.Event().wait(0.2)  # longer than a stall
        assert feeds.states()["top"].state == "ok"
        assert feeds.trigger() == ["top"]
        assert take(feeds).number == 1
        assert camera.exposures == 2


def test_trigger_that_is_not_answered_is_forgotten() -> None:
    """After a stall, a trigger from before it no longer counts for the next frame."""
    hang, camera = threading.Event(), SteppedCamera()
    with feeds_of(ScriptedCamera([0, hang.wait]), camera, trigger="command", stall_seconds=0.2) as feeds:
        wait_until(lambda: feeds.states()["top"].frames == 1, "the first frame")
        assert feeds.trigger() == ["top"]
        wait_until(lambda: feeds.states()["top"].dropped.get("trigger not answered") == 1, "the stall")
        assert feeds.trigger() == []  # while it is stalled none will come
        camera.step.release()
        wait_until(lambda: feeds.states()["top"].dropped.get("no trigger") == 2, "the new camera's frame")
        hang.set()


def test_finished_frames_reach_the_camera() -> None:
    """A camera that keeps track learns of every finished frame, also after the end of its input."""
    camera = TrackingCamera(list(range(10)))
    with feeds_of(camera, kind=FOLDER) as feeds:
        assert drain(feeds) == list(range(10))
        wait_until(lambda: camera.finished == list(range(10)), "all to be finished")


def test_frames_that_a_restart_finds_again_are_not_dropped() -> None:
    """On close, waiting pictures of a folder stay there; waiting frames of another camera count as dropped."""
    with feeds_of(TrackingCamera(list(range(10))), kind=FOLDER) as feeds:
        wait_until(lambda: feeds.states()["top"].frames == 4, "a full queue")
    assert feeds.states()["top"].dropped == {}
    with feeds_of(ScriptedCamera(list(range(10))), every_frame=True) as feeds:
        wait_until(lambda: feeds.states()["top"].frames == 4, "a full queue")
    assert feeds.states()["top"].dropped == {"station stopped": 4}
    assert feeds.ended and feeds.states()["top"].state == "ended"


def test_file_that_cannot_be_moved_is_a_fault_of_its_own() -> None:
    """A file that cannot be moved after its inspection is a fault, until one can be moved."""

    class Stubborn(ScriptedCamera):
        def done(self, frame: object) -> None:
            if not self.finished:
                self.finished.append(0)
                raise CameraError("top: a.png was inspected but cannot be moved")

    faults: Faults = []
    camera = Stubborn([0, 1])
    with feeds_of(camera, kind=FOLDER, faults=faults) as feeds:
        first = take(feeds)
        feeds.done(first)
        wait_until(lambda: faults, "the fault")
        feeds.done(take(feeds))
        wait_until(lambda: len(faults) == 2, "the fault to go")
    assert faults == [
        ("camera.top.done", "top: a.png was inspected but cannot be moved"),
        ("camera.top.done", None),
    ]


def test_a_fast_camera_does_not_starve_a_slow_one() -> None:
    """While two cameras have frames, they are taken in turn."""
    settings = [SimulatorSettings(kind="simulator", id=name, every_frame=True) for name in ("fast", "slow")]
    cameras = {name: ScriptedCamera(list(range(30)), name=name) for name in ("fast", "slow")}
    feeds = Feeds(
        settings,
        lambda _code, _sentence: None,
        cameras={name: lambda camera=camera: camera for name, camera in cameras.items()},  # type: ignore[misc]
    )
    feeds.start()
    order = []
    for _ in range(20):
        wait_until(lambda: all(len(feed._queue) for feed in feeds._feeds.values()), "frames of both")
        frame = feeds.get(0.0)
        assert frame is not None
        order.append(frame.camera)
    feeds.close()
    assert order == ["fast", "slow"] * 10


def test_a_camera_that_gives_one_picture_for_ever_is_frozen() -> None:
    """Frames that are all equal are a fault, and still inspected, until one differs; of a folder they are none."""
    faults: list[tuple[str, str | None]] = []
    camera = SteppedCamera()

    def equal_frames() -> bool:
        camera.step.release()
        take(feeds)
        return any("frozen" in code for code, _ in faults)

    with feeds_of(camera, faults=faults, frozen_seconds=0.001) as feeds:
        wait_until(equal_frames, "the fault")
        assert faults[-1][0] == "camera.top.frozen" and "the same picture" in str(faults[-1][1])
        assert feeds.states()["top"].state == "ok"
        camera.shape = (4, 2, 1)
        camera.step.release()
        take(feeds)
        wait_until(lambda: faults[-1] == ("camera.top.frozen", None), "the end of the fault")
    assert FolderSettings(kind="folder", source=Path("p"), watch=True, frozen_seconds=1).frozen_limit is None


def test_report_has_the_age_of_the_newest_frame() -> None:
    """The report tells how old the newest frame is."""
    with feeds_of(ScriptedCamera([0])) as feeds:
        before = datetime.now(timezone.utc)
        assert take(feeds).captured_at >= before.replace(microsecond=0)
        age = feeds.states()["top"].age_seconds
        assert age is not None and age >= 0


def test_close_before_start_returns() -> None:
    """Feeds can be closed without a start."""
    Feeds([SimulatorSettings(kind="simulator")], lambda _code, _sentence: None).close()
