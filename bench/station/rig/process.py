"""A station process with numbered frames, which the station benches start.

The source loses no frame, like a folder or a line that waits: a station that was killed and started again goes on with
the first frame whose result was not on disk."""

from __future__ import annotations

import argparse
import logging
import os
import subprocess
import sys
from pathlib import Path

from bench.command_line import bench_parser
from bench.station.rig.source import BrightSpotInspector, FrameLog, NumberedCamera
from bench.station.rig.thread_failures import refuse_threads
from edge_runtime.cameras.base import Frame
from edge_runtime.config import StationConfig
from edge_runtime.station.ending import end_in_time
from edge_runtime.station.station import Station
from latentline.base.strict_yaml import parse
from latentline.errors import run_command
from latentline.inspection.result import InspectionResult
from latentline.model import open_model

STATION = "bench"
SPOOL, FRAME_LOG, STATION_LOG = "spool.sqlite", "frames.log", "station.log"
WILL_DELAY = 1  # seconds
KEEP_ALIVE = 5  # seconds, the least that a station takes


def start_station(
    folder: Path, port: int, frames: int | None, rate: float, size: tuple[int, int], model: Path | None = None
) -> subprocess.Popen[bytes]:
    """Start a station with spool, frame log and log in `folder`; `main` describes the other arguments."""
    options = ["--rate", str(rate), "--size", *map(str, size)]
    options += ["--frames", str(frames)] if frames is not None else []
    options += ["--model", str(model)] if model is not None else []
    command = [sys.executable, "-m", "bench.station.rig.process", str(folder), str(port), *options]
    with (folder / STATION_LOG).open("ab") as log:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def main() -> int:
    """Run until the last frame or SIGTERM."""
    parser = bench_parser(__doc__)
    parser.add_argument("folder", type=Path, help="of spool, frame log and log")
    parser.add_argument("port", type=int, help="of the broker on 127.0.0.1")
    parser.add_argument("--frames", type=int, help="number of frames (default: no end)")
    parser.add_argument("--rate", type=float, required=True, help="frames a second, at most")
    parser.add_argument("--size", type=int, nargs=2, required=True, help="height and width, pixels")
    parser.add_argument("--model", type=Path, help="model package (default: an inspector that needs none)")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    refuse_threads()
    return run_command(lambda: _run(options))


def _run(options: argparse.Namespace) -> int:
    config = _config(options.folder, options.port, options.model)
    frame_log = FrameLog(options.folder / FRAME_LOG)
    camera = NumberedCamera(frame_log.next_number, options.frames, options.rate, tuple(options.size))

    def observe(frame: Frame, _inspection: InspectionResult) -> None:
        frame_log.add(int(frame.source))

    inspector = open_model(options.model, config.backend) if options.model else BrightSpotInspector()
    station = Station(config, inspector, cameras={camera.name: lambda: camera}, observer=observe)
    station.announcer.messages.boot_id = str(os.getpid())  # tells its messages from those of earlier processes
    with end_in_time(station):
        station.run()
    return 0


def _config(folder: Path, port: int, model: Path | None) -> StationConfig:
    data = {
        "station": {"id": STATION},
        "model": str(model or folder),
        "backend": "openvino",
        "cameras": [{"id": NumberedCamera.name, "kind": "folder", "source": str(folder)}],
        "mqtt": {
            "host": "127.0.0.1",
            "port": port,
            "keep_alive": KEEP_ALIVE,
            "will_delay_seconds": WILL_DELAY,
            "reconnect_max_seconds": 0.1,
        },
        "spool": {"path": str(folder / SPOOL)},
        "supervision": {"http_port": None},
    }
    return parse(data, StationConfig, "-")


if __name__ == "__main__":
    sys.exit(main())
