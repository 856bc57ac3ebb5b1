"""A jump of the wall clock changes the times in messages and nothing else."""

from __future__ import annotations

import gc
import os
import shutil
import struct
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from edge_runtime.config import StationConfig
from edge_runtime.tools.broker_check import check_broker
from latentline.base.strict_yaml import parse
from tests.edge_runtime.fakes import BRIGHT, station_data, validate, write_picture
from tests.edge_runtime.faults.running import station_process, watched
from tests.mosquitto import Mosquitto, Subscriber

DAY = 24 * 3600


@pytest.fixture
def shim(tmp_path: Path) -> Path:
    """The library that shifts the wall clock of a process."""
    compiler = shutil.which("gcc") or shutil.which("g++")
    if compiler is None:
        pytest.skip("A C COMPILER IS MISSING: the clock tests did not run; install the package `g++`")
    if sys.version_info < (3, 11):
        pytest.skip("PYTHON < 3.11 waits by the wall clock (bpo-41710): the clock tests did not run")
    library = tmp_path / "clock.so"
    source = Path(__file__).with_name("clock.c")
    subprocess.run([compiler, "-x", "c", "-shared", "-fPIC", "-O1", "-o", str(library), str(source)], check=True)
    return library


def test_jumps_of_the_clock_delay_nothing(tmp_path: Path, mosquitto: Mosquitto, shim: Path) -> None:
    """After a jump of 400 days ahead, and one of 800 back while the broker restarts, frames are inspected, the station
    reconnects, and events arrive with the new time and a `wait` without the jump."""
    mosquitto.start()
    data = watched(station_data(tmp_path, mosquitto.port))
    offset, pictures = tmp_path / "offset", tmp_path / "pictures"
    offset.write_bytes(struct.pack("=q", 0))

    def jump(days: int) -> None:
        with offset.open("r+b") as file:
            file.write(struct.pack("=q", days * DAY))

    with (
        Subscriber(mosquitto.port) as subscriber,
        station_process(data, LD_PRELOAD=str(shim), WALL_CLOCK_OFFSET=str(offset)),
    ):
        write_picture(pictures / "a.png", BRIGHT)
        subscriber.wait("defect", lambda all_: len(all_) == 1)
        jump(400)
        write_picture(pictures / "b.png", BRIGHT)
        subscriber.wait("defect", lambda all_: len(all_) == 2)
        jump(-400)
        mosquitto.stop()
        write_picture(pictures / "c.png", BRIGHT)
        mosquitto.start()
        events = subscriber.wait("defect", lambda all_: len({event.body["seq"] for event in all_}) == 3)
        subscriber.wait_state("online")
    for message in subscriber.messages():
        validate(message.topic, message.body)
    # Delivery is at least once: if the stop of the broker cut off a confirmation, the event comes again.
    captured = {event.body["seq"]: event.body["captured_at"].replace("Z", "+00:00") for event in events}
    assert list(captured) == [1, 2, 3]
    times = [datetime.fromisoformat(time) for time in captured.values()]
    assert timedelta(days=399) < times[1] - times[0] < timedelta(days=401)
    assert timedelta(days=799) < times[1] - times[2] < timedelta(days=801)
    assert all(0 <= event.body["timings_ms"]["wait"] < 60_000 for event in events)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="OPENSSL IS MISSING: no TLS test ran")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_clock_that_is_behind_is_suspected(tmp_path: Path, mosquitto: Mosquitto, shim: Path) -> None:
    """When the broker's certificate is not valid yet, the sentence has this machine's time."""
    offset = tmp_path / "offset"
    offset.write_bytes(struct.pack("=q", 10 * DAY))
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=127.0.0.1"
    files = ["-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "ca.pem")]
    clock = {**os.environ, "LD_PRELOAD": str(shim), "WALL_CLOCK_OFFSET": str(offset)}
    subprocess.run(
        [*command.split(), *files, "-addext", "subjectAltName=IP:127.0.0.1"], env=clock, check=True, capture_output=True
    )
    mosquitto.use_tls(tmp_path / "ca.pem", tmp_path / "key.pem")
    mosquitto.start()
    data = station_data(tmp_path, mosquitto.port, tls={"ca": str(tmp_path / "ca.pem")})
    (finding,) = check_broker(parse(data, StationConfig, "-"))
    assert not finding.ok and "certificate is not yet valid; this machine's clock says 20" in finding.message
    gc.collect()
