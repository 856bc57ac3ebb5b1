"""Does a station grow over a long run? Memory, threads, descriptors and spool of a station process.

python -m bench.station.soak [--minutes M] [--rate FRAMES_PER_SECOND] [--model PACKAGE] [--restarts N] [--json]

A station with a synthetic camera, a mosquitto (restarted N times, so that reconnections count too) and a subscriber.
Every few seconds /proc gives a sample of the process. Growth of memory is the slope of a straight line through the
resident size without the first 20 % of the run. Neighbouring samples are not independent, so its 95 % interval is taken
from the means of ten equal spans. The exit code is 1 when events are missing, 2 when the station ended by itself.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.command_line import bench_parser
from bench.station.rig.broker import KillableBroker
from bench.station.rig.process import FRAME_LOG, SPOOL, STATION, STATION_LOG, start_station
from bench.station.rig.source import FrameLog
from bench.station.rig.subscriber import SessionSubscriber
from bench.termination import exit_on_sigterm
from edge_runtime.mqtt.spool.spool import Spool
from latentline.errors import LatentlineError, run_command

_SPANS = 10
_T_95 = 2.306  # Student's t for 95 % with _SPANS - 2 degrees of freedom
_START_SECONDS = 120.0  # for a station to inspect its first frame
_END_SECONDS = 20.0  # for a station to end after SIGTERM
_ARRIVES_IN = 10.0  # seconds for events that the broker still has to deliver


@dataclass(frozen=True)
class ProcessSample:
    """One sample of the station: seconds since its first frame, resident MiB, threads, descriptors, MiB of spool."""

    seconds: float
    rss: float
    threads: int
    descriptors: int
    spool: float


def main() -> int:
    """Run, count and print."""
    parser = bench_parser(__doc__)
    parser.add_argument("--minutes", type=float, default=30.0, help="default: %(default)s")
    parser.add_argument("--rate", type=float, default=10.0, help="frames a second (default: %(default)s)")
    parser.add_argument("--size", type=int, nargs=2, default=(480, 640), help="height and width of a frame, pixels")
    parser.add_argument("--model", type=Path, help="model package (default: an inspector that needs none)")
    parser.add_argument("--restarts", type=int, default=10, help="of the broker (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args()
    with exit_on_sigterm(), tempfile.TemporaryDirectory(prefix="soak-") as folder:
        return run_command(lambda: _run(options, Path(folder)))


def _run(options: argparse.Namespace, folder: Path) -> int:
    broker = KillableBroker(folder / "broker")
    received: set[int] = set()
    with ExitStack() as stack:
        stack.callback(broker.stop)
        broker.start()
        topic = f"latentline/{STATION}/v1/cam/+/defect"
        subscriber = SessionSubscriber(broker.port, "soak", topic, lambda event, _retained: received.add(event["seq"]))
        stack.callback(subscriber.close)
        station = start_station(folder, broker.port, None, options.rate, tuple(options.size), options.model)
        stack.callback(station.wait)
        stack.callback(station.kill)
        _wait_for_first_frame(station, folder)
        samples = _watch(station, folder, broker, 60 * options.minutes, options.restarts)
        code = _stop(station)
        written = _written(folder)
        _wait_for(lambda: len(received) >= written)
    if code != 0:
        raise LatentlineError(f"the station ended with {code}: {(folder / STATION_LOG).read_text()[-2000:]}")
    figures = {
        **summarise(samples),
        "events": written,
        "missing": written - len(received),
        "restarts": options.restarts,
        "rate": options.rate,
    }
    full = {**figures, "samples": [asdict(sample) for sample in samples]}
    print(json.dumps(full) if options.json else _table(figures))
    return 1 if figures["missing"] else 0


def _wait_for_first_frame(station: subprocess.Popen[bytes], folder: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not FrameLog.count(folder / FRAME_LOG):
        _check_running(station, folder)
        if time.monotonic() > deadline:
            raise LatentlineError(f"the station inspected no frame within {_START_SECONDS:g} s")
        time.sleep(0.05)


def _check_running(station: subprocess.Popen[bytes], folder: Path) -> None:
    if station.poll() is not None:
        raise LatentlineError(f"the station ended by itself: {(folder / STATION_LOG).read_text()[-2000:]}")


def _stop(station: subprocess.Popen[bytes]) -> int:
    """Ask the station to end; gives its exit code."""
    station.terminate()
    try:
        return station.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        raise LatentlineError(f"the station did not end within {_END_SECONDS:g} s of SIGTERM") from None


def _watch(
    station: subprocess.Popen[bytes], folder: Path, broker: KillableBroker, seconds: float, restarts: int
) -> list[ProcessSample]:
    """Take about 400 samples; restart the broker at equal intervals."""
    begin = time.monotonic()
    pause = min(5.0, seconds / 400)
    restart_at = [begin + seconds * (number + 1) / (restarts + 1) for number in range(restarts)]
    samples: list[ProcessSample] = []
    while (now := time.monotonic()) < begin + seconds:
        _check_running(station, folder)
        samples.append(_sample(station.pid, folder / SPOOL, now - begin))
        if restart_at and now > restart_at[0]:
            restart_at.pop(0)
            broker.stop()
            broker.start()
        time.sleep(pause)
    return samples


def _sample(pid: int, spool: Path, seconds: float) -> ProcessSample:
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    files = [spool.with_name(spool.name + suffix) for suffix in ("", "-wal")]
    size = sum(file.stat().st_size for file in files if file.exists())
    descriptors = len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208  # one directory of /proc, names only
    return ProcessSample(
        seconds, int(status["VmRSS"].split()[0]) / 1024, int(status["Threads"]), descriptors, size / 2**20
    )


def summarise(samples: list[ProcessSample]) -> dict[str, Any]:
    """The figures of a run without its first 20 %. Slopes are in MiB an hour."""
    settled = samples[len(samples) // 5 :]
    spans = np.array_split(np.arange(len(settled)), _SPANS)
    hours = np.array([np.mean([settled[i].seconds for i in span]) / 3600 for span in spans])
    rss = np.array([np.mean([settled[i].rss for i in span]) for span in spans])
    (slope, _), covariance = np.polyfit(hours, rss, 1, cov=True)
    return {
        "minutes": samples[-1].seconds / 60,
        "rss_slope": float(slope),
        "rss_slope_interval": [float(slope + sign * _T_95 * np.sqrt(covariance[0, 0])) for sign in (-1, 1)],
        "rss_first": float(rss[0]),
        "rss_last": float(rss[-1]),
        "rss_max": max(sample.rss for sample in settled),
        "threads": [min(s.threads for s in settled), max(s.threads for s in settled)],
        "descriptors": [min(s.descriptors for s in settled), max(s.descriptors for s in settled)],
        "spool_max": max(sample.spool for sample in settled),
    }


def _written(folder: Path) -> int:
    """How many events the station wrote and delivered to the broker. It has ended."""
    spool = Spool(folder / SPOOL, 10**9)
    written = spool.last_seq - len(spool)
    spool.close()
    return written


def _wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _ARRIVES_IN
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)


def _table(figures: dict[str, Any]) -> str:
    low, high = figures["rss_slope_interval"]
    return "\n".join(
        [
            f"{figures['minutes']:.1f} min, {figures['rate']:g} frames/s, {figures['restarts']} restarts of the broker",
            f"memory       {figures['rss_first']:.1f} -> {figures['rss_last']:.1f} MiB, most {figures['rss_max']:.1f}",
            f"growth       {figures['rss_slope']:+.2f} MiB/h (95 %: {low:+.2f} … {high:+.2f})",
            "threads      {} … {}".format(*figures["threads"]),
            "descriptors  {} … {}".format(*figures["descriptors"]),
            f"spool        {figures['spool_max']:.2f} MiB at most",
            f"events       {figures['events']}, of which {figures['missing']} did not arrive",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
