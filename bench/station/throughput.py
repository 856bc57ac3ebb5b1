"""How many events can a station write and deliver, and what does a frame cost beyond its search?

python -m bench.station.throughput [--events N] [--frames N] [--search-ms MS] [--json]

disk       4 KiB written and flushed, for comparison: an event that survives a power failure cannot be faster
spool      events written to the spool with synchronous FULL, one by one and in batches of 100
delivery   events through mosquitto on loopback to mosquitto_sub, both with QoS 1: from the first write to the last line
station    time that a frame takes in the station's thread besides its inspection: from the end of one inspection to the
           start of the next, when a frame is always waiting and two of three frames are abnormal. The inspection sleeps
           for --search-ms, so that other threads run, as they do during a search. `processor` is the processor time of
           that thread alone, which other work on the machine does not lengthen
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.command_line import bench_parser
from bench.station.rig.broker import KillableBroker
from bench.station.rig.source import BrightSpotInspector, NumberedCamera
from bench.termination import exit_on_sigterm
from edge_runtime.config import StationConfig
from edge_runtime.mqtt.broker import Broker, Will
from edge_runtime.mqtt.events import Message, Messages
from edge_runtime.mqtt.publisher import Publisher
from edge_runtime.mqtt.spool.spool import Spool
from edge_runtime.pacing import Backoff
from edge_runtime.station.station import Station
from latentline.base.strict_yaml import parse
from latentline.errors import run_command
from latentline.inspection.result import InspectionResult
from latentline.package.identity import ModelIdentity

_BATCH = 100
_SIZE = 480, 640  # px
_TOPIC = "latentline/bench/v1/cam/line/defect"
_MODEL = ModelIdentity("bright spots", "00" * 32, "none", 100.0, 3.0, 1, 8)


def main() -> int:
    """Measure and print."""
    parser = bench_parser(__doc__)
    parser.add_argument("--events", type=int, default=5000, help="default: %(default)s")
    parser.add_argument("--frames", type=int, default=1000, help="default: %(default)s")
    parser.add_argument("--search-ms", type=float, default=10.0, help="time of an inspection (%(default)s)")
    parser.add_argument("--folder", type=Path, help="folder for the spool, on the disk to measure")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args()
    with exit_on_sigterm(), tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        figures = {"disk alone, ms p99": _disk(folder), **_spool(folder, options.events)}
        with _broker(folder) as port:
            figures["end to end, events/s"] = _delivery(folder, port, options.events)
            figures |= _station(folder, port, options.frames, options.search_ms / 1e3)
    if options.json:
        print(json.dumps(figures))
    else:
        print("\n".join(f"{name:<46}{value:>12,.2f}" for name, value in figures.items()))
    return 0


def _event() -> Message:
    """A defect event like those that a station writes."""
    camera = NumberedCamera(1, None, 1e9, _SIZE)
    camera.open()
    frame = camera.read()
    assert frame is not None
    return Messages("bench").defect(frame, BrightSpotInspector().begin(frame.picture)(), _MODEL, 1.0)


@contextmanager
def _broker(folder: Path) -> Iterator[int]:
    """The port of a broker with the settings that docs/mqtt.md recommends."""
    broker = KillableBroker(folder / "broker", save_everything=False)
    try:
        broker.start()
        yield broker.port
    finally:
        broker.stop()


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
    with ExitStack() as stack:
        stack.callback(spool.close)
        subscriber = stack.enter_context(_subscriber(port, count + 1))
        assert subscriber.stdout is not None
        publisher = Publisher(
            Broker("127.0.0.1", port, "bench"),
            spool,
            lambda: Will("latentline/bench/v1/status", b"{}", 0),
            Backoff(0.1, 1.0),
            lambda code, sentence: None,
        )
        stack.callback(publisher.close, "latentline/bench/v1/status", {}, 5.0)
        publisher.start()
        publisher.wait_first_try(10.0)
        _wait_for_subscription(publisher, subscriber)
        begin = time.perf_counter()
        for first in range(0, count, _BATCH):
            spool.append_many([(_TOPIC, event)] * min(_BATCH, count - first))
            publisher.wake_up()
        for _ in range(count):
            subscriber.stdout.readline()
        return count / (time.perf_counter() - begin)


@contextmanager
def _subscriber(port: int, count: int) -> Iterator[subprocess.Popen[bytes]]:
    """A mosquitto_sub that prints `count` messages."""
    command = ["mosquitto_sub", "-V", "5", "-p", str(port), "-q", "1", "-t", "latentline/bench/#", "-C", str(count)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


def _wait_for_subscription(publisher: Publisher, subscriber: subprocess.Popen[bytes]) -> None:
    """Wait until the subscriber has subscribed, which it shows by printing a retained message."""
    assert subscriber.stdout is not None
    publisher.retain("latentline/bench/v1/birth", {})
    subscriber.stdout.readline()


class _SleepingInspector(BrightSpotInspector):
    """Takes `seconds` for a frame, and measures the time between two inspections."""

    ahead = 1

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._ended: float | None = None
        self.between: list[float] = []  # seconds from the end of an inspection to the start of the next
        self.computed: list[float] = []  # seconds of these that the thread computed
        self._computed = 0.0

    def begin(self, image: npt.NDArray[np.uint8]) -> Callable[[], InspectionResult]:
        """The function that is returned sleeps and inspects."""
        if self._ended is not None:
            self.between.append(time.perf_counter() - self._ended)
            self.computed.append(time.thread_time() - self._computed)
        inspect = super().begin(image)

        def finish() -> InspectionResult:
            time.sleep(self._seconds)
            inspection = inspect()
            self._ended, self._computed = time.perf_counter(), time.thread_time()
            return inspection

        return finish


class _FastCamera(NumberedCamera):
    """Always has a frame ready."""

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
    inspector = _SleepingInspector(search)
    Station(parse(data, StationConfig, "-"), inspector, cameras={"line": lambda: _FastCamera(frames)}).run()
    figures: dict[str, float] = {}
    for name, seconds in (("", inspector.between), (", processor", inspector.computed)):
        times = 1e3 * np.array(seconds)
        for percent in (50, 90, 99):
            figures[f"station beside the search{name}, ms p{percent}"] = float(np.percentile(times, percent))
        figures[f"station beside the search{name}, ms max"] = float(times.max())
    return figures


if __name__ == "__main__":
    sys.exit(run_command(main))
