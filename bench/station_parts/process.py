"""A station process over numbered frames. Killed and started again, it goes on with the first frame whose verdict was
not on disk yet: a lossless source, as a folder or a line that waits would be."""

from __future__ import annotations

import argparse
import logging
import os
import subprocess
import sys
from pathlib import Path

from edge_runtime.cameras.base import Frame
from edge_runtime.config import StationConfig
from edge_runtime.station.station import Station
from latentline.base.signals import stop_on_signals
from latentline.base.strict_yaml import parse
from latentline.errors import run_command
from latentline.inspection.result import InspectionResult
from latentline.model import open_model
from station_parts.source import BrightSpotInspector, Journal, NumberedCamera

STATION = "bench"
WILL_DELAY = 1  # seconds
KEEP_ALIVE = 5  # seconds, the least that a station takes


def start_station(
    folder: Path, port: int, frames: int | None, rate: float, size: tuple[int, int], model: Path | None = None
) -> subprocess.Popen[bytes]:
    """A station with its spool, journal and log in `folder`; see `main` for the rest."""
    options = ["--rate", str(rate), "--size", *map(str, size)]
    options += ["--frames", str(frames)] if frames is not None else []
    options += ["--model", str(model)] if model is not None else []
    command = [sys.executable, "-m", "station_parts.process", str(folder), str(port), *options]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    with (folder / "station.log").open("ab") as log:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)


def main() -> int:
    """Run until the frames end or SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("port", type=int)
    parser.add_argument("--frames", type=int, help="how many there are in all (default: without an end)")
    parser.add_argument("--rate", type=float, required=True, help="frames a second at most")
    parser.add_argument("--size", type=int, nargs=2, required=True, help="height and width, pixels")
    parser.add_argument("--model", type=Path, help="a model package (default: an inspector without one)")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    return run_command(lambda: _run(options))


def _run(options: argparse.Namespace) -> int:
    config = _config(options.folder, options.port, options.model)
    journal = Journal(options.folder / "journal")
    camera = NumberedCamera(journal.following, options.frames, options.rate, tuple(options.size))

    def observe(frame: Frame, _inspection: InspectionResult) -> None:
        journal.done(int(frame.source))

    inspector = open_model(options.model, config.backend) if options.model else BrightSpotInspector()
    station = Station(config, inspector, cameras={camera.name: lambda: camera}, observer=observe)
    with stop_on_signals(station.stop):
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
            "reconnect_seconds": 0.05,
            "reconnect_max_seconds": 0.5,
        },
        "spool": {"path": str(folder / "spool.sqlite")},
        "supervision": {"http_port": None},
    }
    return parse(data, StationConfig, "-")


if __name__ == "__main__":
    sys.exit(main())
