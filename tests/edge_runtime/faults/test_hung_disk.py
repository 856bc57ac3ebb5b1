"""Watching never waits for what it watches: while the disk hangs, the station says so everywhere."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_runtime.commands.commander import Commander
from edge_runtime.mqtt.spool.high_water_mark import HighWaterMark
from edge_runtime.mqtt.spool.spool import Spool
from edge_runtime.supervision.disk_watch import DiskWatch
from edge_runtime.supervision.guards import DiskGuard
from tests.edge_runtime.fakes import BRIGHT, station_data, validate, write_picture
from tests.edge_runtime.faults.harm import Harm, ask, free_port
from tests.edge_runtime.faults.running import running, station_process, watched
from tests.mosquitto import Mosquitto, Subscriber
from tests.waiting import wait_until


def _codes(body: dict[str, Any]) -> set[str]:
    return {reason["code"] for reason in body["reasons"]}


def test_a_hung_disk_is_said_on_mqtt_and_on_the_pages(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """While a write hangs, `status` and /healthz name the spool, a camera that fails meanwhile is named too, and
    metrics are served; when the disk is back, so is the station, and no event is lost."""
    mosquitto.start()
    harm, pictures, port = Harm(tmp_path), tmp_path / "pictures", free_port()
    data = watched(station_data(tmp_path, mosquitto.port))
    data["cameras"][0] |= {"after": "keep", "reopen_max_seconds": 1.0}
    data["supervision"] = {"http_port": port, "spool_seconds": 0.3}
    with Subscriber(mosquitto.port) as subscriber, station_process(data, **harm.environment) as process:
        write_picture(pictures / "1.png", BRIGHT)
        subscriber.wait("defect", lambda all_: len(all_) == 1)
        harm.set(hang_disk=True)
        write_picture(pictures / "2.png", BRIGHT)
        subscriber.wait("v1/status", lambda all_: "watchdog.spool" in _codes(all_[-1].body))
        status, body = ask(port, "/healthz")
        assert status == 503 and "at one write to the disk" in body["faults"]["watchdog.spool"]
        pictures.rename(tmp_path / "gone")
        subscriber.wait("v1/status", lambda all_: _codes(all_[-1].body) >= {"camera.top", "watchdog.spool"})
        assert "camera.top" in ask(port, "/healthz")[1]["faults"] and ask(port, "/metrics")[0] == 200
        subscriber.wait("cam/top/status", lambda all_: all_[-1].body["state"] == "failing")
        (tmp_path / "gone").rename(pictures)
        harm.set()
        subscriber.wait("defect", lambda all_: len({event.body["seq"] for event in all_}) == 2)
        subscriber.wait_state("online")
        process.terminate()
        assert process.wait(20) == 0
    for message in subscriber.messages():
        validate(message.topic, message.body)


@pytest.fixture
def hanging(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Spool]:
    """A spool in which a thread writes and does not come back before the end of the test."""
    spool, inside, end = Spool(tmp_path / "spool.sqlite", 100), threading.Event(), threading.Event()
    spool.append("topic", {"n": 1})

    def hang(*_: object) -> None:
        inside.set()
        end.wait(30)

    monkeypatch.setattr(HighWaterMark, "reserve", hang)
    writer = threading.Thread(target=lambda: spool.append("topic", {"n": 2}), daemon=True)
    writer.start()
    assert inside.wait(10)
    yield spool
    end.set()
    writer.join(10)
    spool.close()


def test_counters_of_the_spool_never_wait(hanging: Spool) -> None:
    """While a write hangs, everything that metrics, `health` and `status` read is there at once, as it was before."""
    found: list[object] = []
    reader = threading.Thread(
        target=lambda: found.extend([len(hanging), hanging.last_seq, hanging.dropped, hanging.size_bytes]), daemon=True
    )
    reader.start()
    reader.join(10)
    assert found == [1, 1, {"count": 0, "bytes": 0, "age": 0}, len("topic") + len(b'{"n":1}')]


def test_a_disk_that_does_not_answer_is_a_fault(tmp_path: Path) -> None:
    """The question for free space may hang as well: it is asked in a thread of its own, and the hang is a sentence."""
    now, asked, end = [0.0], threading.Event(), threading.Event()

    def free(_: Path) -> int:
        asked.set()
        end.wait(30)
        return 1 << 40

    watch = DiskWatch(DiskGuard(tmp_path, 1, free), lambda: now[0])
    watch.thread.start()
    watch.ask()
    assert asked.wait(10) and watch.fault is None
    now[0] = 16.0
    assert watch.fault == f"the disk of {tmp_path} has not answered for more than 15 s"
    end.set()
    wait_until(lambda: watch.fault is None, "the answer")
    watch.close()
    assert not watch.thread.alive


def test_a_command_that_hangs_is_said(tmp_path: Path, mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not only events are written: a command that hangs, say in the file of what commands have set, is
    `watchdog.spool` as well."""
    mosquitto.start()
    data, going = watched(station_data(tmp_path, mosquitto.port)), threading.Event()
    data["supervision"]["spool_seconds"] = 0.1
    monkeypatch.setattr(Commander, "run_pending", lambda _: going.wait(30))
    with Subscriber(mosquitto.port) as subscriber, running(data):
        subscriber.wait("v1/status", lambda all_: any("watchdog.spool" in _codes(m.body) for m in all_))
        going.set()
        subscriber.wait_state("online")
