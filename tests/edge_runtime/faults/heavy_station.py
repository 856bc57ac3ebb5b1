"""A station process whose library calls take long: python -m tests.edge_runtime.faults.heavy_station STATION.yaml

A picture of the grey level SLOW is not inspected before a minute is over, one of STUCK is not decoded before, one of
DEADLY ends the process while it is inspected, one of CRASHING while it is decoded. No signal gets through meanwhile, as
in OpenCV or OpenVINO.
"""

import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from edge_runtime.config import load_station
from edge_runtime.station.ending import end_in_time
from edge_runtime.station.station import Station
from latentline.errors import run_command
from latentline.inspection.result import InspectionResult
from tests.edge_runtime.fakes import FakeInspector

SLOW, STUCK, DEADLY, CRASHING = 140, 150, 163, 170


def compute() -> None:
    """Stay in a library for a minute, without the interpreter's lock: it waits for a mutex of its own, which no signal
    ends and which takes no processor."""
    library, mutex = ctypes.CDLL(None), ctypes.create_string_buffer(64)
    library.pthread_mutex_lock(mutex)
    library.pthread_mutex_timedlock(mutex, (ctypes.c_long * 2)(int(time.time()) + 60, 0))


class HeavyInspector(FakeInspector):
    """Has its trouble with some grey levels."""

    def inspect(self, image: npt.NDArray[np.uint8]) -> InspectionResult:
        level = int(image.mean())
        if level == SLOW:
            compute()
        if abs(level - DEADLY) < 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().inspect(image)


def _heavy(decode: Callable[..., Any]) -> Callable[..., Any]:
    def imdecode(*arguments: Any) -> Any:
        image = decode(*arguments)
        level = 0 if image is None else int(image.mean())
        if level == STUCK:
            compute()
        if level == CRASHING:
            os.kill(os.getpid(), signal.SIGKILL)
        return image

    return imdecode


def run() -> int:
    """What `latentline-edge run` does, with a heavy decoder and inspector."""
    setattr(cv2, "imdecode", _heavy(cv2.imdecode))  # noqa: B010 -- mypy takes a function for no variable
    station = Station(load_station(Path(sys.argv[1])), HeavyInspector())
    with end_in_time(station):
        station.run()
    return 0


if __name__ == "__main__":
    sys.exit(run_command(run))
