"""SIGTERM ends a station cleanly at any moment."""

from __future__ import annotations

import random
import signal
import time
from contextlib import ExitStack
from pathlib import Path

from tests.edge_runtime.fakes import BRIGHT, station_data, write_picture
from tests.edge_runtime.faults.running import station_process, watched
from tests.mosquitto import Mosquitto, Subscriber

MOMENTS = 5


def test_sigterm_at_any_moment_is_a_clean_end(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """At any time after its start, SIGTERM ends a station with exit code 0, without a traceback, and with `stopped` if
    it was `online`; before the signal handler is set, the process dies without touching the spool."""
    mosquitto.start()
    random_ = random.Random(4)
    moments = sorted(random_.uniform(0.0, 2.0) for _ in range(MOMENTS))
    with Subscriber(mosquitto.port) as subscriber, ExitStack() as stack:
        stations = []
        for number in range(MOMENTS):
            folder = tmp_path / str(number)
            folder.mkdir()
            data = watched(station_data(folder, mosquitto.port))
            data["station"]["id"] = f"line-{number}"
            for picture in range(200):
                write_picture(folder / "pictures" / f"{picture:03}.png", BRIGHT)
            stations.append((data, stack.enter_context(station_process(data))))
        begin = time.monotonic()
        for moment, (_, process) in zip(moments, stations, strict=True):
            time.sleep(max(0.0, begin + moment - time.monotonic()))  # the random moment is what is tested
            process.send_signal(signal.SIGTERM)
        for data, process in stations:
            _, log = process.communicate(timeout=30)
            assert "Traceback" not in log, log
            if process.returncode != 0:
                assert process.returncode == -signal.SIGTERM, log
                assert not Path(data["spool"]["path"]).exists()
            topic = f"{data['station']['id']}/v1/status"
            if any(message.body["state"] == "online" for message in subscriber.messages(topic)):
                subscriber.wait(topic, lambda all_: all_[-1].body["state"] == "stopped")
