"""The station survives a full disk and a damaged spool, and reports them on `status` while they last."""

from __future__ import annotations

import resource
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

import pytest

from edge_runtime.cameras.base import Frame
from edge_runtime.mqtt.events import Messages
from edge_runtime.mqtt.spool.spool import Spool
from tests.edge_runtime.fakes import BRIGHT, FakeInspector, station_data, validate, write_picture
from tests.edge_runtime.faults.running import ScriptedCamera, grey, running, station_process, watched
from tests.mosquitto import Mosquitto, Subscriber
from tests.waiting import wait_until


def _limit_files(pid: int, size: int) -> None:
    """Limit all files that the process writes to `size` bytes."""
    _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, hard))


def test_station_outlives_a_full_disk(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """While nothing can be written, `status` reports `disk` and the station continues to inspect; later events arrive,
    and their numbers have no gap."""
    mosquitto.start()
    pictures = tmp_path / "pictures"
    data = watched(station_data(tmp_path, mosquitto.port))
    with Subscriber(mosquitto.port) as subscriber, station_process(data) as process:
        write_picture(pictures / "1.png", BRIGHT)
        subscriber.wait("defect", lambda all_: len(all_) == 1)
        _limit_files(process.pid, 0)
        write_picture(pictures / "2.png", BRIGHT)
        subscriber.wait("v1/status", lambda all_: "disk" in [reason["code"] for reason in all_[-1].body["reasons"]])
        _limit_files(process.pid, resource.RLIM_INFINITY)
        write_picture(pictures / "3.png", BRIGHT)
        events = subscriber.wait("defect", lambda all_: len({m.body["event_id"] for m in all_}) == 2)
        subscriber.wait_state("online")
        process.terminate()
        assert process.wait(20) == 0
        subscriber.wait_state("stopped")
    seqs = list(dict.fromkeys(event.body["seq"] for event in events))
    assert seqs == [1, 2]
    for message in subscriber.messages():
        validate(message.topic, message.body)


def test_station_starts_on_a_full_disk(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """With no room for a new spool the station starts, says `spool.open`, and sends events once there is room."""
    mosquitto.start()
    pictures = tmp_path / "pictures"
    data = watched(station_data(tmp_path, mosquitto.port))
    with Subscriber(mosquitto.port) as subscriber, station_process(data, TEST_FILE_BYTES="0") as process:
        subscriber.wait(
            "v1/status", lambda all_: bool(all_) and "spool.open" in [r["code"] for r in all_[-1].body["reasons"]]
        )
        write_picture(pictures / "1.png", BRIGHT)
        subscriber.wait("v1/status", lambda all_: "disk" in [reason["code"] for reason in all_[-1].body["reasons"]])
        _limit_files(process.pid, resource.RLIM_INFINITY)
        write_picture(pictures / "2.png", BRIGHT)
        subscriber.wait("defect", bool)
        subscriber.wait_state("online")
        process.terminate()
        assert process.wait(20) == 0


def test_what_waits_is_sent_from_a_full_disk(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """A station that starts when nothing can be written sends the events of its last run."""
    mosquitto.start()
    data = watched(station_data(tmp_path, mosquitto.port))
    spool = Spool(Path(data["spool"]["path"]), 10)
    event = Messages("line-1").defect(
        Frame(grey(BRIGHT), datetime.now(timezone.utc), "top", "x", 0),
        FakeInspector().inspect(grey(BRIGHT)),
        FakeInspector.identity,
        0.0,
    )
    spool.append("latentline/line-1/v1/cam/top/defect", event)
    spool.close()
    with Subscriber(mosquitto.port) as subscriber, station_process(data, TEST_FILE_BYTES="0") as process:
        assert subscriber.wait("defect", bool)[0].body["seq"] == 1
        process.terminate()
        assert process.wait(20) == 0


def _garbage(spool: Path) -> None:
    spool.with_name("spool.sqlite.seq").write_text("100\n")  # so it is ours
    spool.write_bytes(b"this is not a database" * 1000)


def _no_header(spool: Path) -> None:
    _with_events(spool)
    spool.with_name("spool.sqlite.seq").write_text("100\n")
    with spool.open("r+b") as file:
        file.write(b"\0" * 100)


def _torn_pages(spool: Path) -> None:
    _with_events(spool)
    content = bytearray(spool.read_bytes())
    content[4096:] = b"\x5a" * (len(content) - 4096)
    spool.write_bytes(content)


def _cut(spool: Path) -> None:
    _with_events(spool)
    spool.write_bytes(spool.read_bytes()[:5000])


def _with_events(path: Path) -> None:
    spool = Spool(path, 1000)
    spool.append_many([("topic", {"padding": "x" * 500})] * 100)
    spool.close()


DAMAGES = {"garbage": _garbage, "no header": _no_header, "torn pages": _torn_pages, "cut": _cut}


@pytest.mark.parametrize("name", DAMAGES)
def test_corrupt_spool_is_renamed_and_reported(tmp_path: Path, mosquitto: Mosquitto, name: str) -> None:
    """A station with a corrupt spool starts, renames the file, names it in the reasons, and sends events."""
    mosquitto.start()
    data = station_data(tmp_path, mosquitto.port)
    spool = Path(data["spool"]["path"])
    DAMAGES[name](spool)
    with Subscriber(mosquitto.port) as subscriber:
        with running(data, ScriptedCamera(grey(BRIGHT))):
            subscriber.wait("defect", bool)
            (reason,) = subscriber.wait_state("degraded")["reasons"]
        aside = min(tmp_path.glob("spool.sqlite.broken-*"))
        assert reason["code"] == "spool_file" and aside.name in reason["message"]
        assert aside.stat().st_size > 0


Damage = Callable[[Path], object]


def _overwrite(spool: Path) -> None:
    for path in (spool, spool.with_name(spool.name + "-wal")):
        if path.exists():
            size = path.stat().st_size
            with path.open("r+b") as file:
                file.write(b"\x5a" * size)


def _truncate(spool: Path) -> None:
    for path in (spool, spool.with_name(spool.name + "-wal")):
        if path.exists():
            with path.open("r+b") as file:
                file.truncate(0)


def _delete(spool: Path) -> None:
    for path in (spool, spool.with_name(spool.name + "-wal"), spool.with_name(spool.name + "-shm")):
        path.unlink(missing_ok=True)


WHILE_RUNNING = {"overwritten": _overwrite, "truncated": _truncate, "deleted": _delete}


@pytest.mark.parametrize("name", WHILE_RUNNING)
def test_station_outlives_damage_to_its_spool(tmp_path: Path, mosquitto: Mosquitto, name: str) -> None:
    """When its spool is damaged, a running station says so and does not end, and later events arrive."""
    mosquitto.start()
    pictures = tmp_path / "pictures"
    data = watched(station_data(tmp_path, mosquitto.port))
    with Subscriber(mosquitto.port) as subscriber, station_process(data) as process:
        write_picture(pictures / "0.png", BRIGHT)
        subscriber.wait("defect", lambda all_: len(all_) == 1)
        number = 0

        def said() -> bool:
            """The station says so; an overwriting within the same milliseconds as its own is not seen, so repeat it."""
            nonlocal number
            number += 1
            WHILE_RUNNING[name](Path(data["spool"]["path"]))
            write_picture(pictures / f"{number}.png", BRIGHT)
            reasons = subscriber.messages("v1/status")[-1].body["reasons"]
            return "spool_file" in [reason["code"] for reason in reasons]

        def later_events_arrive() -> bool:
            nonlocal number
            number += 1
            write_picture(pictures / f"{number}.png", BRIGHT)
            return len({message.body["event_id"] for message in subscriber.messages("defect")}) >= 4

        wait_until(said, "the fault")
        wait_until(later_events_arrive, "events after the damage")
        process.terminate()
        assert process.wait(20) == 0
