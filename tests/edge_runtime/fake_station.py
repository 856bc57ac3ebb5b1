"""A station process with the fake inspector: python -m tests.edge_runtime.fake_station STATION.yaml

TEST_FILE_BYTES in the environment limits the size of every file that it writes, like a full disk.
"""

import logging
import os
import resource
import sys
from pathlib import Path

from edge_runtime.config import load_station
from edge_runtime.station.ending import end_in_time
from edge_runtime.station.station import Station
from latentline.errors import run_command
from tests.edge_runtime.fakes import FakeInspector


def run() -> int:
    """What `latentline-edge run` does, without a model."""
    station = Station(load_station(Path(sys.argv[1])), FakeInspector())
    with end_in_time(station):
        station.run()
    return 0


if __name__ == "__main__":
    if size := os.environ.get("TEST_FILE_BYTES"):
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(size), resource.RLIM_INFINITY))
    logging.basicConfig(level=logging.INFO)
    sys.exit(run_command(run))
