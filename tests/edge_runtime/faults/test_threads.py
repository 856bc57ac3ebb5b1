"""A thread that cannot be started, or dies, costs time and nothing else; one that cannot come back ends the process."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from edge_runtime.cameras.reader import Reader
from edge_runtime.config import StationConfig
from edge_runtime.mqtt.connection import Connection
from edge_runtime.mqtt.delivery import Delivery
from edge_runtime.supervision import thread_watch
from latentline.base.strict_yaml import parse
from latentline.errors import run_command
from tests.edge_runtime.fakes import BRIGHT, station_data, validate, write_picture
from tests.edge_runtime.faults.harm import Harm, ask, free_port
from tests.edge_runtime.faults.running import ScriptedCamera, grey, make_station, running, station_process, watched
from tests.mosquitto import Mosquitto, Subscriber
from tests.threads import refused
from tests.waiting import wait_until

THREADS = [
    "camera top",
    "supervisor top",
    "mqtt sender",
    "mqtt network",
    "http",
    "http /healthz",
    "http /metrics",
    "supervisor",
    "disk guard",
]


def _with_pages(data: dict[str, Any]) -> tuple[dict[str, Any], int]:
    """`data` with a live camera that is reopened soon, and its pages on the port that is returned."""
    port = free_port()
    pauses = {"reopen_seconds": 0.02, "reopen_max_seconds": 0.05, "stall_seconds": 30}
    camera = {"id": "top", "kind": "device", "source": 0, "every_frame": True, **pauses}
    return {**data, "cameras": [camera], "supervision": {"http_port": port}}, port


def test_a_start_that_fails_is_tried_again(
    tmp_path: Path, mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None of a station's threads can be started at first: events arrive, the pages answer, and no fault stays."""
    mosquitto.start()
    data, port = _with_pages(station_data(tmp_path, mosquitto.port))
    with (
        refused(monkeypatch, *THREADS, times=2) as refusals,
        Subscriber(mosquitto.port) as subscriber,
        running(data, ScriptedCamera(grey(BRIGHT))),
    ):
        subscriber.wait("defect", lambda all_: len(all_) == 1)
        subscriber.wait_state("online")
        wait_until(lambda: ask(port, "/healthz")[0] == ask(port, "/metrics")[0] == 200, "the pages")
    assert refusals == dict.fromkeys(THREADS, 2)
    for message in subscriber.messages():
        validate(message.topic, message.body)


def test_a_camera_that_gets_no_thread_is_a_fault(
    tmp_path: Path, mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sentence says that it is a thread that is missing; the camera works as soon as there is one."""
    mosquitto.start()
    data, _ = _with_pages(station_data(tmp_path, mosquitto.port))
    without = ExitStack()
    without.enter_context(refused(monkeypatch, "camera top"))
    with without, Subscriber(mosquitto.port) as subscriber, running(data, ScriptedCamera(grey(BRIGHT))):
        subscriber.wait("cam/top/status", lambda all_: any("no thread can be started" in str(m.body) for m in all_))
        without.close()
        subscriber.wait("defect", lambda all_: len(all_) == 1)
        subscriber.wait_state("online")


def test_a_camera_whose_thread_dies_is_opened_again(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """A driver that ends the thread that reads (SystemExit is no error of Python's) is a fault until it is back."""
    mosquitto.start()
    data, _ = _with_pages(station_data(tmp_path, mosquitto.port))

    def end_the_thread() -> None:
        raise SystemExit

    camera = ScriptedCamera(grey(BRIGHT), end_the_thread, grey(BRIGHT))
    with Subscriber(mosquitto.port) as subscriber, running(data, camera):
        subscriber.wait("defect", lambda all_: len(all_) == 2)
        subscriber.wait_state("online")
        assert camera.opened == 2


def test_a_reader_that_is_gone_without_a_word_is_replaced(
    tmp_path: Path, mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A thread may end in C, where no exception says so; the camera is opened again."""
    mosquitto.start()
    data, _ = _with_pages(station_data(tmp_path, mosquitto.port))
    run, gone = Reader._run, iter([lambda _: None])
    monkeypatch.setattr(Reader, "_run", lambda reader: next(gone, run)(reader))
    with Subscriber(mosquitto.port) as subscriber, running(data, ScriptedCamera(grey(BRIGHT))):
        subscriber.wait("defect", lambda all_: len(all_) == 1)
        subscriber.wait_state("online")
    assert "camera top: the thread that reads it has died" in caplog.text


def test_a_sender_that_dies_comes_back(tmp_path: Path, mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fault `threads` names it on `status`, and every event arrives."""
    mosquitto.start()
    data, _ = _with_pages(station_data(tmp_path, mosquitto.port))
    real, deaths = Delivery.remove_confirmed, [SystemExit]

    def die_once(delivery: Delivery) -> None:
        if deaths and delivery.published:
            raise deaths.pop()
        real(delivery)

    monkeypatch.setattr(Delivery, "remove_confirmed", die_once)
    camera = ScriptedCamera(grey(BRIGHT))
    with Subscriber(mosquitto.port) as subscriber, running(data, camera):
        found = subscriber.wait("v1/status", lambda all_: any("'mqtt sender' died" in str(m.body) for m in all_))
        assert "(SystemExit" in str(found[-1].body["reasons"])
        camera.put(grey(BRIGHT))
        subscriber.wait("defect", lambda all_: {event.body["seq"] for event in all_} == {1, 2})


def test_a_connection_whose_thread_dies_is_replaced(
    tmp_path: Path, mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The network thread may die without a word; the sender notices and connects again."""
    mosquitto.start()
    data, _ = _with_pages(station_data(tmp_path, mosquitto.port))

    def silent(connection: Connection) -> None:
        """The thread ends and posts nothing."""

    run = Connection._run
    runs = iter([silent])
    monkeypatch.setattr(Connection, "_run", lambda connection: next(runs, run)(connection))
    with Subscriber(mosquitto.port) as subscriber, running(data, ScriptedCamera(grey(BRIGHT))):
        subscriber.wait("defect", lambda all_: len(all_) == 1)
        subscriber.wait_state("online")


def test_a_thread_that_cannot_come_back_ends_the_process_to_be_restarted(
    tmp_path: Path, mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exit code is 75, one sentence names the thread, and `stopped` was published."""
    mosquitto.start()
    data, _ = _with_pages(station_data(tmp_path, mosquitto.port))
    monkeypatch.setattr(thread_watch, "_PATIENCE_SECONDS", 0.2)
    station = make_station(parse(data, StationConfig, "-"), ScriptedCamera())

    def run() -> int:
        station.run()
        return 0

    with refused(monkeypatch, "disk guard"), Subscriber(mosquitto.port) as subscriber:
        assert run_command(run) == 75
        subscriber.wait_state("stopped")
    error = capsys.readouterr().err
    assert error == "error: the thread 'disk guard' cannot be kept alive; the station ends to be restarted\n"


def test_a_station_none_of_whose_cameras_can_be_read_ends_to_be_restarted(
    tmp_path: Path, mosquitto: Mosquitto, capsys: pytest.CaptureFixture[str]
) -> None:
    """Four reads that hang in the driver of the only camera: nothing is left but another process."""
    mosquitto.start()
    data, _ = _with_pages(station_data(tmp_path, mosquitto.port))
    data["cameras"][0]["stall_seconds"] = 0.05
    hang = threading.Event()
    station = make_station(parse(data, StationConfig, "-"), ScriptedCamera(*[lambda: hang.wait(30)] * 4))

    def run() -> int:
        station.run()
        return 0

    assert run_command(run) == 75
    assert capsys.readouterr().err == "error: every camera hangs in its driver; the station ends to be restarted\n"
    hang.set()


def test_a_machine_without_threads_for_a_while(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """The operating system refuses every thread to a real process: its pages still answer, a camera that fails
    meanwhile says why it stays away, and comes back when there are threads again."""
    mosquitto.start()
    harm, pictures = Harm(tmp_path), tmp_path / "pictures"
    data, port = _with_pages(station_data(tmp_path, mosquitto.port))
    data = watched({**data, "cameras": station_data(tmp_path, mosquitto.port)["cameras"]})
    data["cameras"][0] |= {"reopen_seconds": 0.05, "reopen_max_seconds": 0.1, "after": "keep"}
    with Subscriber(mosquitto.port) as subscriber, station_process(data, **harm.environment) as process:
        write_picture(pictures / "1.png", BRIGHT)
        subscriber.wait("defect", lambda all_: len(all_) == 1)
        harm.set(refuse_threads=True)
        pictures.rename(tmp_path / "gone")
        subscriber.wait("cam/top/status", lambda all_: any("can't start new thread" in str(m.body) for m in all_))
        for _ in range(3):
            status, body = ask(port, "/healthz")
            assert status == 200 and "camera.top" in body["faults"] and ask(port, "/metrics")[0] == 200
        (tmp_path / "gone").rename(pictures)
        harm.set()
        write_picture(pictures / "2.png", BRIGHT)
        subscriber.wait("defect", lambda all_: len({event.body["event_id"] for event in all_}) == 2)
        subscriber.wait_state("online")
        process.terminate()
        assert process.wait(20) == 0
