"""A picture that ends or blocks the process costs itself and no other."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.edge_runtime.cameras.films import film
from tests.edge_runtime.fakes import BRIGHT, station_data, write_picture
from tests.edge_runtime.faults.heavy_station import CRASHING, DEADLY, SLOW, STUCK
from tests.edge_runtime.faults.running import station_process, watched
from tests.mosquitto import Mosquitto, Subscriber
from tests.waiting import wait_until

PROMISE = 10.0  # seconds: docs/operations.md
HEAVY = "tests.edge_runtime.faults.heavy_station"


def _data(folder: Path, broker: Mosquitto) -> dict[str, Any]:
    data = watched(station_data(folder, broker.port, results=True))
    data["supervision"]["health_seconds"] = 1
    data["cameras"][0] |= {"stall_seconds": 60.0, "reopen_seconds": 0.02, "reopen_max_seconds": 0.05}
    return data


@pytest.fixture
def broker(mosquitto: Mosquitto) -> Mosquitto:
    mosquitto.start()
    return mosquitto


@contextmanager
def _started(data: dict[str, Any]) -> Iterator[subprocess.Popen[str]]:
    with station_process(data, module=HEAVY) as process:
        yield process


def _run_to_its_death(data: dict[str, Any]) -> None:
    with _started(data) as process:
        _, log = process.communicate(timeout=30)
        assert process.returncode == -signal.SIGKILL, log


@pytest.mark.parametrize("level", [DEADLY, CRASHING])
def test_picture_that_ends_the_process_twice_is_set_aside(tmp_path: Path, broker: Mosquitto, level: int) -> None:
    """A picture that kills the process while it is inspected or decoded is tried twice; then it is named in a fault
    and counted, it stays where it is, and all others are inspected, each once after the deaths."""
    data = _data(tmp_path, broker)
    pictures = tmp_path / "pictures"
    for number in range(8):
        write_picture(pictures / f"{number}.png", level if number == 3 else BRIGHT)
    with Subscriber(broker.port) as subscriber:
        for _ in range(2):
            _run_to_its_death(data)
        with _started(data):
            fault = subscriber.wait_state("degraded")["reasons"]
            subscriber.wait("health", lambda all_: any(one.body["cameras"][0]["bad"] == 1 for one in all_))
            inspected = subscriber.wait("defect", lambda all_: len({one.body["frame"]["source"] for one in all_}) == 7)
            assert [reason["code"] for reason in fault] == ["camera.top.set_aside"]
            assert "3.png" in fault[0]["message"]
            (pictures / "3.png").unlink()
            subscriber.wait_state("online")
        sources = [one.body["frame"]["source"] for one in inspected]
        assert "3.png" not in sources and len(sources) <= 7 + 2 * 6  # a death repeats what was not marked yet


def test_frame_of_a_film_that_ends_the_process_twice_is_set_aside(tmp_path: Path, broker: Mosquitto) -> None:
    """In a video file, the frame is left out and named, and those behind it are inspected."""
    data = _data(tmp_path, broker)
    path = film(tmp_path / "film.avi", 40)
    data["cameras"] = [{"id": "top", "kind": "stream", "source": str(path)}]
    deadly = 29  # its grey level is DEADLY
    with Subscriber(broker.port) as subscriber:
        for _ in range(2):
            _run_to_its_death(data)
        with _started(data) as process:
            _, log = process.communicate(timeout=30)
        assert process.returncode == 0, log
        assert f"frame {deadly} of {path} is set aside" in log
        results = subscriber.wait("cam/top/result", lambda all_: any(r.body["frame"]["number"] == 39 for r in all_))
        codes = {reason["code"] for one in subscriber.messages("v1/status") for reason in one.body["reasons"]}
    assert "camera.top.set_aside" in codes
    assert {one.body["frame"]["number"] for one in results} == set(range(40)) - {deadly}


def test_sigterm_ends_the_station_within_its_promise_at_any_picture(tmp_path: Path, broker: Mosquitto) -> None:
    """While a library decodes or inspects a picture and lets no signal through, SIGTERM ends the process within ten
    seconds, with `stopped` and exit code 0; the picture is not to blame, and comes again."""
    with Subscriber(broker.port) as subscriber, ExitStack() as stack:
        stations = []
        for name, level in (("slow", SLOW), ("stuck", STUCK)):
            (tmp_path / name).mkdir()
            data = _data(tmp_path / name, broker)
            data["station"]["id"] = name
            write_picture(tmp_path / name / "pictures" / "0.png", BRIGHT)
            write_picture(tmp_path / name / "pictures" / "1.png", level)
            stations.append((name, stack.enter_context(_started(data))))
        for name, process in stations:
            subscriber.wait(f"{name}/v1/cam/top/defect", lambda all_: len(all_) == 1)
            _wait_for_work(tmp_path / name / "spool.work")
            process.send_signal(signal.SIGTERM)
        begin = time.monotonic()
        for name, process in stations:
            _, log = process.communicate(timeout=30)
            assert process.returncode == 0, log
            assert time.monotonic() - begin < PROMISE
            subscriber.wait(f"{name}/v1/status", lambda all_: all_[-1].body["state"] == "stopped")
            assert (tmp_path / name / "spool.work").read_text().startswith("[]\n")
            assert not (tmp_path / name / "spool.deaths.json").exists()


def _wait_for_work(path: Path) -> None:
    wait_until(lambda: path.exists() and path.read_text().startswith('["'), "a picture in work")


def test_second_sigterm_ends_the_station_at_once(tmp_path: Path, broker: Mosquitto) -> None:
    """A second SIGTERM does not wait for the frame in work."""
    data = _data(tmp_path, broker)
    write_picture(tmp_path / "pictures" / "0.png", SLOW)
    with Subscriber(broker.port) as subscriber, _started(data) as process:
        subscriber.wait_state("online")
        _wait_for_work(tmp_path / "spool.work")
        begin = time.monotonic()
        process.send_signal(signal.SIGTERM)
        time.sleep(0.2)  # two signals at once are one
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
        assert process.returncode in (128 + signal.SIGTERM, -signal.SIGTERM)
        assert time.monotonic() - begin < 3.0


def test_picture_whose_decoder_hangs_is_set_aside_without_a_restart(tmp_path: Path, broker: Mosquitto) -> None:
    """A picture in which the decoder hangs stalls the camera twice; then it is set aside, and the others go on."""
    data = _data(tmp_path, broker)
    data["cameras"][0]["stall_seconds"] = 0.3
    for number in range(3):
        write_picture(tmp_path / "pictures" / f"{number}.png", STUCK if number == 1 else BRIGHT)
    with Subscriber(broker.port) as subscriber, _started(data):
        found = subscriber.wait("defect", lambda all_: len(all_) == 2)
        assert [one.body["frame"]["source"] for one in found] == ["0.png", "2.png"]
        codes = [reason["code"] for reason in subscriber.wait_state("degraded")["reasons"]]
        assert codes == ["camera.top.set_aside"]
