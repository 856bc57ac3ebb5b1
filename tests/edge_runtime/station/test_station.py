from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

from edge_runtime.cameras.base import Frame
from edge_runtime.config import StationConfig
from edge_runtime.mqtt.spool.spool import Spool
from edge_runtime.station.station import Station
from latentline.base.strict_yaml import parse
from latentline.errors import BrokerError, CameraError, SpoolError
from tests.edge_runtime.fakes import (
    BRIGHT,
    DARK,
    FATAL,
    NOT_A_NUMBER,
    UNUSABLE,
    FakeInspector,
    station_data,
    validate,
    write_picture,
)
from tests.mosquitto import Mosquitto, Subscriber
from tests.paths import ROOT
from tests.waiting import wait_until

Start = Callable[[dict[str, Any]], "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts station processes with the fake inspector; kills those that still run when the test ends."""
    processes: list[subprocess.Popen[str]] = []

    def start_process(data: dict[str, Any]) -> subprocess.Popen[str]:
        path = tmp_path / "station.yaml"
        path.write_text(yaml.safe_dump(data))
        command = [sys.executable, "-m", "tests.edge_runtime.fake_station", str(path)]
        processes.append(subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True))
        return processes[-1]

    yield start_process
    for process in processes:
        process.kill()
        process.communicate()


def _config(data: dict[str, Any]) -> StationConfig:
    return parse(data, StationConfig, "-")


def _pictures(folder: Path, *levels: int) -> None:
    for number, level in enumerate(levels):
        write_picture(folder / "pictures" / f"{number}.png", level)


def test_abnormal_frames_reach_a_subscriber(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """Each abnormal frame is one event, each frame one result, each message fits its schema, and the run ends."""
    mosquitto.start()
    data = station_data(tmp_path, mosquitto.port, results=True)
    _pictures(tmp_path, DARK, BRIGHT, DARK, BRIGHT)
    with Subscriber(mosquitto.port) as subscriber:
        summary = Station(_config(data), FakeInspector()).run()
        subscriber.wait_state("stopped")
        events = subscriber.wait("defect", lambda all_: len(all_) == 2)
        results = subscriber.wait("result", lambda all_: len(all_) == 4)
        messages = subscriber.messages()
    for message in messages:
        validate(message.topic, message.body)
    assert [event.body["frame"]["source"] for event in events] == ["1.png", "3.png"]
    assert [event.body["seq"] for event in events] == [1, 2]
    assert len({event.body["event_id"] for event in events}) == 2
    assert [result.body["abnormal"] for result in results] == [False, True, False, True]
    assert {message.topic.removeprefix("latentline/line-1/v1/") for message in messages} - {"health"} == {
        "status",
        "birth",
        "cam/top/status",
        "cam/top/defect",
        "cam/top/result",
    }
    assert (summary.inspected, summary.events, summary.published, summary.waiting) == (4, 2, 2, 0)


def test_late_subscriber_learns_the_state(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """Status, birth and camera status are retained: a later subscriber gets the newest of each."""
    mosquitto.start()
    data = station_data(tmp_path, mosquitto.port)
    _pictures(tmp_path, DARK)
    Station(_config(data), FakeInspector()).run()
    with Subscriber(mosquitto.port) as subscriber:
        assert subscriber.wait("v1/status", bool)[0].body["state"] == "stopped"
        assert subscriber.wait("birth", bool)[0].body["model"]["name"] == "fake"
        assert subscriber.wait("cam/top/status", bool)[0].body["state"] == "ended"
        assert all(message.retained for message in subscriber.messages())


def test_frames_of_any_size_and_bad_ones_pass(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """New sizes or channels, a corrupt file, an unusable frame or a failing inspector do not end the run."""
    mosquitto.start()
    data = station_data(tmp_path, mosquitto.port)
    _pictures(tmp_path, BRIGHT, UNUSABLE, FATAL, NOT_A_NUMBER)
    write_picture(tmp_path / "pictures" / "4.png", BRIGHT, (31, 17), channels=3)
    (tmp_path / "pictures" / "5.jpg").write_bytes(b"\xff\xd8\xff cut")
    write_picture(tmp_path / "pictures" / "6.png", BRIGHT, (3, 90))
    with Subscriber(mosquitto.port) as subscriber:
        summary = Station(_config(data), FakeInspector()).run()
        events = subscriber.wait("defect", lambda all_: len(all_) == 3)
    frames = [event.body["frame"] for event in events]
    assert [(f["width"], f["height"], f["channels"]) for f in frames] == [(8, 6, 1), (31, 17, 3), (3, 90, 1)]
    assert (summary.inspected, summary.bad_images, summary.bad_frames, summary.failed) == (3, 1, 1, 2)


def test_failing_inspector_degrades_until_it_works(tmp_path: Path, mosquitto: Mosquitto, start: Start) -> None:
    """A failing inspector is a reason in `status`, until it works on the next frame."""
    mosquitto.start()
    data = station_data(tmp_path, mosquitto.port)
    data["cameras"][0]["watch"] = True
    with Subscriber(mosquitto.port) as subscriber:
        start(data)
        subscriber.wait_state("online")
        write_picture(tmp_path / "pictures" / "a.png", FATAL)
        (reason,) = subscriber.wait_state("degraded")["reasons"]
        assert reason == {"code": "inspector", "message": "the inspector failed (RuntimeError: backend lost)"}
        write_picture(tmp_path / "pictures" / "b.png", DARK)
        subscriber.wait_state("online")


class HangingCamera:
    """Gives one frame, then hangs in `read` until it is closed."""

    name = "top"

    def __init__(self) -> None:
        self._closed = threading.Event()
        self._given = False

    def open(self) -> None:
        pass

    def read(self) -> Frame | None:
        if self._given:
            self._closed.wait(60)
            return None
        self._given = True
        return Frame(np.full((4, 4, 1), DARK, np.uint8), datetime.now(timezone.utc), "top", "device 0", 0)

    def close(self) -> None:
        self._closed.set()


def test_stalled_camera_degrades(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """A live camera that hangs is stalled in the station's status and in its own, and the station keeps running."""
    mosquitto.start()
    data = station_data(tmp_path, mosquitto.port)
    data["cameras"] = [{"id": "top", "kind": "device", "source": 0, "stall_seconds": 0.2}]
    station = Station(_config(data), FakeInspector(), cameras={"top": HangingCamera})
    with Subscriber(mosquitto.port) as subscriber:
        runner = threading.Thread(target=station.run)
        runner.start()
        (reason,) = subscriber.wait_state("degraded")["reasons"]
        assert reason["code"] == "camera.top" and "stalled" in reason["message"]
        camera = subscriber.wait("cam/top/status", lambda all_: all_[-1:] != [] and all_[-1].body["state"] != "ok")
        assert camera[-1].body["state"] == "stalled"
        station.stop()
        runner.join(20)
        subscriber.wait_state("stopped")
    assert station.summary.inspected >= 1, "the camera gives a frame each time it is opened"


def test_video_file_is_inspected_to_its_end(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """The station inspects each frame of a video file and ends with the file."""
    mosquitto.start()
    data = station_data(tmp_path, mosquitto.port)
    writer = cv2.VideoWriter(str(tmp_path / "film.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    for level in (BRIGHT, DARK) * 10:
        writer.write(np.full((48, 64, 3), level, np.uint8))
    writer.release()
    data["cameras"] = [{"id": "film", "kind": "stream", "source": str(tmp_path / "film.avi")}]
    with Subscriber(mosquitto.port) as subscriber:
        summary = Station(_config(data), FakeInspector()).run()
        events = subscriber.wait("cam/film/defect", lambda all_: len(all_) == 10)
    assert [event.body["frame"]["number"] for event in events] == list(range(0, 20, 2))
    assert (summary.inspected, summary.published) == (20, 10)


def test_threshold_of_the_yaml_applies(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """The YAML's threshold replaces the package's in inspection, event and `birth`, and defects are still found."""
    mosquitto.start()
    data = {**station_data(tmp_path, mosquitto.port), "threshold": 50.0}
    _pictures(tmp_path, 60, DARK)
    with Subscriber(mosquitto.port) as subscriber:
        Station(_config(data), FakeInspector()).run()
        (event,) = subscriber.wait("defect", bool)
        (birth,) = subscriber.wait("birth", bool)
    assert event.body["threshold"] == birth.body["threshold"] == 50.0
    assert len(event.body["defects"]) == 1


def test_observer_gets_frames_and_may_fail(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """The observer gets every inspected frame; an exception in it changes nothing."""
    mosquitto.start()
    data = station_data(tmp_path, mosquitto.port)
    _pictures(tmp_path, DARK, BRIGHT)
    observed: list[bool] = []

    def observe(_frame: object, inspection: Any) -> None:
        observed.append(inspection.is_abnormal)
        raise RuntimeError("full disk")

    summary = Station(_config(data), FakeInspector(), observer=observe).run()
    assert observed == [False, True] and summary.published == 1


def test_full_spool_is_reported(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """A spool that overflows while the broker is away drops the oldest; the summary and the next status count them.

    The summary of a run says what that run gave up, not what earlier ones did.
    """
    data = station_data(tmp_path, mosquitto.port)
    data["spool"]["max_events"] = 2
    _pictures(tmp_path, *[BRIGHT] * 5)
    summary = Station(_config(data), FakeInspector()).run()
    assert (summary.waiting, summary.spool_dropped) == (2, 3)
    assert str(summary).endswith("2 waiting, 3 lost or given up")
    mosquitto.start()
    with Subscriber(mosquitto.port) as subscriber:
        later = Station(_config(data | {"threshold": 250.0}), FakeInspector()).run()
        assert str(later).endswith("0 waiting, 0 lost or given up")
        assert [event.body["seq"] for event in subscriber.wait("defect", lambda all_: len(all_) == 2)] == [4, 5]
        assert subscriber.wait_state("stopped")["spool_dropped"] == {"count": 3, "bytes": 0, "age": 0}


def test_event_that_cannot_be_written_is_lost(
    tmp_path: Path, mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An event that cannot be written is counted as lost, the station keeps running, and its end says so."""
    mosquitto.start()
    data = station_data(tmp_path, mosquitto.port)
    _pictures(tmp_path, BRIGHT, BRIGHT)
    append, calls = Spool.append, []

    def failing(self: Spool, topic: str, event: dict[str, Any]) -> int:
        calls.append(topic)
        if len(calls) == 1:
            raise sqlite3.OperationalError("database or disk is full")
        return append(self, topic, event)

    monkeypatch.setattr(Spool, "append", failing)
    with Subscriber(mosquitto.port) as subscriber:
        station = Station(_config(data), FakeInspector())
        with pytest.raises(SpoolError, match=r"1 event is lost, for .*\.sqlite took no more; make room"):
            station.run()
        subscriber.wait_state("stopped")
    summary = station.summary
    assert (summary.events, summary.lost, summary.published) == (1, 1, 1)


def test_a_missing_folder_ends_the_station(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """A source with an end that cannot be read raises an error, after a clean end."""
    mosquitto.start()
    folder = {"id": "top", "kind": "folder", "source": "/nowhere"}
    data = {**station_data(tmp_path, mosquitto.port), "cameras": [folder]}
    with Subscriber(mosquitto.port) as subscriber:
        with pytest.raises(CameraError, match="camera top"):
            Station(_config(data), FakeInspector()).run()
        subscriber.wait_state("stopped")


def test_the_station_waits_for_a_missing_device(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """A missing live camera is a fault with its id, and the other camera works."""
    mosquitto.start()
    data = station_data(tmp_path, mosquitto.port)
    data["cameras"][0]["watch"] = True
    data["cameras"].append({"id": "side", "kind": "device", "source": 97, "reopen_seconds": 0.1})
    station = Station(_config(data), FakeInspector())
    with Subscriber(mosquitto.port) as subscriber:
        thread = threading.Thread(target=station.run)
        thread.start()
        status = subscriber.wait_state("degraded")
        assert [reason["code"] for reason in status["reasons"]] == ["camera.side"]
        _pictures(tmp_path, BRIGHT)
        subscriber.wait("defect", lambda all_: len(all_) == 1)
        station.stop()
        thread.join(10)
    assert not thread.is_alive()


def test_wrong_password_in_process_is_an_error(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """A refused password raises BrokerError from `run`."""
    mosquitto.add_user("line", "right")
    mosquitto.start()
    (tmp_path / "secret").write_text("wrong")
    data = station_data(tmp_path, mosquitto.port, username="line", password_file=str(tmp_path / "secret"))
    _pictures(tmp_path, DARK)
    with pytest.raises(BrokerError, match="refuses"):
        Station(_config(data), FakeInspector()).run()


def test_wrong_password_ends_the_command(tmp_path: Path, mosquitto: Mosquitto, start: Start) -> None:
    """A refused password ends the command with exit code 2 and one sentence, without traceback or password."""
    mosquitto.add_user("line", "right")
    mosquitto.start()
    (tmp_path / "secret").write_text("wrong-password")
    data = station_data(tmp_path, mosquitto.port, username="line", password_file=str(tmp_path / "secret"))
    data["cameras"][0]["watch"] = True
    process = start(data)
    _, output = process.communicate(timeout=30)
    assert process.returncode == 2
    errors = [line for line in output.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and "refuses the user name or password" in errors[0]
    assert "Traceback" not in output and "wrong-password" not in output


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_the_station_cleanly(
    tmp_path: Path, mosquitto: Mosquitto, start: Start, number: signal.Signals
) -> None:
    """On SIGTERM or Ctrl-C the events are sent, the status is stopped and not offline, and the exit code is 0."""
    mosquitto.start()
    data = station_data(tmp_path, mosquitto.port, will_delay_seconds=0)
    data["cameras"][0]["watch"] = True
    with Subscriber(mosquitto.port) as subscriber:
        process = start(data)
        subscriber.wait_state("online")
        _pictures(tmp_path, *[BRIGHT] * 5)
        subscriber.wait("defect", lambda all_: len(all_) == 5)
        process.send_signal(number)
        _, output = process.communicate(timeout=30)
        subscriber.wait_state("stopped")
        states = [message.body["state"] for message in subscriber.messages("v1/status")]
    assert process.returncode == 0, output
    assert states[-2:] == ["online", "stopped"] and states[:-2] in ([], ["starting"])  # the newest one counts
    assert "5 events written, 5 confirmed" in output and "Traceback" not in output


def test_killed_station_leaves_its_will(tmp_path: Path, mosquitto: Mosquitto, start: Start) -> None:
    """After kill -9 the broker publishes offline, and a new start publishes online."""
    mosquitto.start()
    data = station_data(tmp_path, mosquitto.port, will_delay_seconds=1)
    data["cameras"][0]["watch"] = True
    with Subscriber(mosquitto.port) as subscriber:
        process = start(data)
        subscriber.wait_state("online")
        process.kill()
        validate("v1/status", subscriber.wait_state("offline"))
        start(data)
        subscriber.wait_state("online")


def test_short_drop_shows_no_offline(tmp_path: Path, mosquitto: Mosquitto, start: Start) -> None:
    """A station that is back within the will delay is never offline for a subscriber."""
    mosquitto.start()
    data = station_data(tmp_path, mosquitto.port, will_delay_seconds=60)
    data["cameras"][0]["watch"] = True
    with Subscriber(mosquitto.port) as subscriber:
        start(data)
        subscriber.wait_state("online")
        first = subscriber.messages("v1/status")[-1].body["boot_id"]
        data["spool"]["path"] = str(tmp_path / "other.sqlite")  # a spool has one owner
        start(data)  # the same client id: the broker throws the first one out
        subscriber.wait("v1/status", lambda all_: bool(all_) and all_[-1].body["boot_id"] != first)
        assert "offline" not in [message.body["state"] for message in subscriber.messages("v1/status")]


def test_events_survive_a_kill_without_broker(tmp_path: Path, mosquitto: Mosquitto, start: Start) -> None:
    """Events of a killed station that never had a broker arrive after the next start, replayed and without a gap."""
    data = station_data(tmp_path, mosquitto.port)
    data["cameras"][0]["watch"] = True
    _pictures(tmp_path, *[BRIGHT] * 4)
    process = start(data)
    journal = tmp_path / "spool.top.journal"  # of pictures whose events are on the disk
    wait_until(lambda: journal.exists() and all(f"{n}.png" in journal.read_text() for n in range(4)), "four events")
    process.kill()
    process.wait(10)
    for picture in (tmp_path / "pictures").iterdir():
        picture.unlink()
    mosquitto.start()
    with Subscriber(mosquitto.port) as subscriber:
        start(data)
        events = subscriber.wait("defect", lambda all_: len(all_) == 4)
    assert [event.body["seq"] for event in events] == [1, 2, 3, 4]
    assert all(event.body["replayed"] for event in events)
