"""How many events a station can write and deliver, and what it costs beside the search.

python bench/throughput.py [--events N] [--frames N] [--search-ms MS] [--json]

disk       4 KiB written and flushed, for comparison: no event that survives a power cut can be quicker
spool      events written with synchronous FULL, one by one and in batches of 100
delivery   events through mosquitto on loopback to mosquitto_sub, both QoS 1: from the first write to the last line
station    what a frame takes in the station's thread beside its inspection: from the end of one inspection to the
           beginning of the next, with a frame always waiting and two of three frames abnormal. The inspection is a
           wait of --search-ms, in which other threads run, as they do while a search runs.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from station_parts.source import BrightSpotInspector, NumberedCamera

from edge_runtime.config import StationConfig
from edge_runtime.mqtt.broker import Broker, Will
from edge_runtime.mqtt.events import Message, Messages
from edge_runtime.mqtt.publisher import Publisher
from edge_runtime.mqtt.spool.spool import Spool
from edge_runtime.pacing import Backoff
from edge_runtime.station.station import Station
from latentline.base.strict_yaml import parse
from latentline.inspection.result import InspectionResult
from latentline.package.identity import ModelIdentity

_BATCH = 100
_SIZE = 480, 640  # px
_TOPIC = "latentline/bench/v1/cam/line/defect"
_MODEL = ModelIdentity("bright spots", "00" * 32, "none", 100.0, 3.0, 1, 8)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=5000)
    parser.add_argument("--frames", type=int, default=1000)
    parser.add_argument("--search-ms", type=float, default=10.0)
    parser.add_argument("--folder", type=Path, help="where the spool lies: the disk that is measured")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        figures = {"disk alone, ms p99": _disk(folder), **_spool(folder, options.events)}
        with _mosquitto(folder) as port:
            figures["end to end, events/s"] = _delivery(folder, port, options.events)
            figures |= _station(folder, port, options.frames, options.search_ms / 1e3)
    if options.json:
        print(json.dumps(figures))
    else:
        print("\n".join(f"{name:<40}{value:>12,.2f}" for name, value in figures.items()))
    return 0


def _event() -> Message:
    """A defect event as a station writes it."""
    camera = NumberedCamera(1, None, 1e9, _SIZE)
    camera.open()
    frame = camera.read()
    assert frame is not None
    return Messages("bench").defect(frame, BrightSpotInspector().begin(frame.image)(), _MODEL, 1.0)


@contextmanager
def _mosquitto(folder: Path) -> Iterator[int]:
    """The port of a broker on loopback, set as docs/mqtt.md asks."""
    program = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    lines = [f"listener {port} 127.0.0.1", "allow_anonymous true", "user root", "log_dest none"]
    lines += ["persistence true", f"persistence_location {folder}/", "max_queued_messages 100000"]
    (folder / "mosquitto.conf").write_text("\n".join(lines) + "\n")
    with subprocess.Popen([program, "-c", str(folder / "mosquitto.conf")], stderr=subprocess.DEVNULL) as broker:
        try:
            while not _answers(port):
                time.sleep(0.01)
            yield port
        finally:
            broker.terminate()


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _disk(folder: Path) -> float:
    times = []
    with (folder / "plain").open("wb") as file:
        for _ in range(500):
            begin = time.perf_counter()
            file.write(bytes(4096))
            file.flush()
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - begin)
    return 1e3 * float(np.percentile(times, 99))


def _spool(folder: Path, count: int) -> dict[str, float]:
    event = _event()
    spool = Spool(folder / "single.sqlite", 10**7)
    times = []
    for _ in range(count):
        begin = time.perf_counter()
        spool.append(_TOPIC, event)
        times.append(time.perf_counter() - begin)
    batches = [[(_TOPIC, event)] * _BATCH for _ in range(count // _BATCH)]
    begin = time.perf_counter()
    for batch in batches:
        spool.append_many(batch)
    batched = len(batches) * _BATCH / (time.perf_counter() - begin)
    spool.close()
    return {
        "spool one by one, events/s": count / sum(times),
        "spool one by one, ms p99": 1e3 * float(np.percentile(times, 99)),
        f"spool in batches of {_BATCH}, events/s": batched,
    }


def _delivery(folder: Path, port: int, count: int) -> float:
    event = _event()
    spool = Spool(folder / "delivered.sqlite", 10**7)
    command = ["mosquitto_sub", "-V", "5", "-p", str(port), "-q", "1", "-t", "latentline/bench/#", "-C", str(count + 1)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as subscriber:
        assert subscriber.stdout is not None
        publisher = Publisher(
            Broker("127.0.0.1", port, "bench"),
            spool,
            lambda: Will("latentline/bench/v1/status", b"{}", 0),
            Backoff(0.1, 1.0),
            lambda code, sentence: None,
        )
        publisher.start()
        publisher.wait_first_try(10.0)
        _until_heard(publisher, subscriber)
        begin = time.perf_counter()
        for first in range(0, count, _BATCH):
            spool.append_many([(_TOPIC, event)] * min(_BATCH, count - first))
            publisher.wake_up()
        for _ in range(count):
            subscriber.stdout.readline()
        seconds = time.perf_counter() - begin
        publisher.close("latentline/bench/v1/status", {}, 5.0)
        subscriber.wait(10)
    spool.close()
    return count / seconds


def _until_heard(publisher: Publisher, subscriber: subprocess.Popen[bytes]) -> None:
    """Wait until the subscriber has subscribed: a retained message reaches it then, and not before."""
    assert subscriber.stdout is not None
    publisher.retain("latentline/bench/v1/birth", {})
    subscriber.stdout.readline()


class _WaitingInspector(BrightSpotInspector):
    """Takes `seconds` a frame, and notes when it is at work."""

    ahead = 1

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._ended: float | None = None
        self.between: list[float] = []  # seconds from the end of an inspection to the beginning of the next

    def begin(self, image: npt.NDArray[np.uint8]) -> Callable[[], InspectionResult]:
        """What is returned waits and inspects."""
        if self._ended is not None:
            self.between.append(time.perf_counter() - self._ended)
        inspect = super().begin(image)

        def finish() -> InspectionResult:
            time.sleep(self._seconds)
            inspection = inspect()
            self._ended = time.perf_counter()
            return inspection

        return finish


class _EagerCamera(NumberedCamera):
    """Gives a frame whenever it is asked."""

    def __init__(self, count: int) -> None:
        super().__init__(0, count, 1e9, _SIZE)


def _station(folder: Path, port: int, frames: int, search: float) -> dict[str, float]:
    data: dict[str, Any] = {
        "station": {"id": "bench"},
        "model": str(folder),
        "backend": "openvino",
        "cameras": [{"id": "line", "kind": "folder", "source": str(folder)}],
        "mqtt": {"host": "127.0.0.1", "port": port, "results": True},
        "pictures": {},
        "spool": {"path": str(folder / "station.sqlite")},
        "supervision": {"http_port": None},
    }
    inspector = _WaitingInspector(search)
    Station(parse(data, StationConfig, "-"), inspector, cameras={"line": lambda: _EagerCamera(frames)}).run()
    times = 1e3 * np.array(inspector.between)
    percentiles = {f"station beside the search, ms p{p}": float(np.percentile(times, p)) for p in (50, 90, 99)}
    return {**percentiles, "station beside the search, ms max": float(times.max())}


if __name__ == "__main__":
    sys.exit(main())
