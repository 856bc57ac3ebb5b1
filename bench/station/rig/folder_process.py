"""A station process over a watched folder, whose inspector dies of some pictures. Arguments: folder, broker's port."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bench.station.rig.process import STATION, STATION_LOG
from bench.station.rig.source import BrightSpotInspector
from edge_runtime.config import StationConfig
from edge_runtime.station.ending import end_in_time
from edge_runtime.station.station import Station
from latentline.base.strict_yaml import parse
from latentline.errors import run_command
from latentline.inspection.result import InspectionResult

POISON_LEVEL = 7  # of a picture that is all of one grey level
PICTURES = "pictures"


class PoisonedInspector(BrightSpotInspector):
    """Kills its process at a poison picture."""

    def begin(self, image: npt.NDArray[np.uint8]) -> Callable[[], InspectionResult]:
        """As the base; a poison picture kills the process when it is finished."""
        finish = super().begin(image)
        return _die if image.min() == image.max() == POISON_LEVEL else finish


def _die() -> InspectionResult:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def start_folder_station(folder: Path, port: int) -> subprocess.Popen[bytes]:
    """Start a station with spool, pictures and log in `folder`."""
    with (folder / STATION_LOG).open("ab") as log:
        command = [sys.executable, "-m", "bench.station.rig.folder_process", str(folder), str(port)]
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def main() -> int:
    """Run until SIGTERM."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    folder, port = Path(sys.argv[1]), int(sys.argv[2])
    data = {
        "station": {"id": STATION},
        "model": str(folder),
        "cameras": [
            {
                "id": "line",
                "kind": "folder",
                "source": str(folder / PICTURES),
                "watch": True,
                "settle_seconds": 0.0,
                "reopen_seconds": 0.05,
                "reopen_max_seconds": 0.1,
            }
        ],
        "mqtt": {"host": "127.0.0.1", "port": port, "reconnect_max_seconds": 0.1},
        "spool": {"path": str(folder / "spool.sqlite")},
        "supervision": {"http_port": None},
    }
    config = parse(data, StationConfig, "-")

    def run() -> int:
        station = Station(config, PoisonedInspector())
        with end_in_time(station):
            station.run()
        return 0

    return run_command(run)


if __name__ == "__main__":
    sys.exit(main())
