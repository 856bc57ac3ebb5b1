"""Runs a station in a thread or a process, with a camera that the test controls."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml

from edge_runtime.cameras.base import Camera, Frame
from edge_runtime.config import StationConfig
from edge_runtime.frames.frame_inspector import FrameInspector
from edge_runtime.station.station import Station
from latentline.base.strict_yaml import parse
from tests.edge_runtime.fakes import FakeInspector
from tests.paths import ROOT

Step = npt.NDArray[Any] | Exception | Callable[[], Any]


class ScriptedCamera:
    """Does what `put` adds: an array is the image of a frame, an exception is raised, a function makes an image."""

    name = "top"

    def __init__(self, *steps: Step | None) -> None:
        self._steps = deque(steps)
        self._changed = threading.Condition()
        self._closed = False
        self._number = 0
        self.opened = 0

    def put(self, *steps: Step | None) -> None:
        """Add steps; None is the end of the input."""
        with self._changed:
            self._steps.extend(steps)
            self._changed.notify_all()

    def open(self) -> None:
        """Count it."""
        self._closed = False
        self.opened += 1

    def read(self) -> Frame | None:
        """The next step."""
        with self._changed:
            self._changed.wait_for(lambda: self._steps or self._closed)
            step = self._steps.popleft() if self._steps and not self._closed else None
        if step is None:
            return None
        if isinstance(step, Exception):
            raise step
        image = step() if callable(step) else step
        number, self._number = self._number, self._number + 1
        return Frame(image, datetime.now(timezone.utc), self.name, f"frame {number}", number)

    def close(self) -> None:
        """End a wait in `read`."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


def grey(level: int, height: int = 6, width: int = 8, channels: int = 1) -> npt.NDArray[np.uint8]:
    """An image of one grey level."""
    return np.full((height, width, channels), level, np.uint8)


def make_station(
    config: StationConfig, camera: Camera | None = None, inspector: FrameInspector | None = None
) -> Station:
    """A station with the cameras of `config`, or with `camera` in the place of the first one."""
    makers = {config.cameras[0].id: lambda: camera} if camera is not None else None
    return Station(config, inspector or FakeInspector(), cameras=makers)


@contextmanager
def running(
    data: dict[str, Any], camera: Camera | None = None, inspector: FrameInspector | None = None, **mqtt: Any
) -> Iterator[Station]:
    """Run the station that `data` describes within the block; stop it at the end of the block.

    mqtt  settings that a YAML may not have, such as a keep-alive of one second, so that a test need not wait
    """
    config = parse(data, StationConfig, "-")
    config = config.model_copy(update={"mqtt": config.mqtt.model_copy(update=mqtt)})
    station = make_station(config, camera, inspector)
    failures: list[BaseException] = []

    def run() -> None:
        try:
            station.run()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run, name="station")
    thread.start()
    try:
        yield station
    finally:
        station.stop()
        thread.join(30)
    assert not thread.is_alive(), "the station did not stop"
    if failures:
        raise failures[0]


@contextmanager
def station_process(
    data: dict[str, Any], module: str = "tests.edge_runtime.fake_station", **environment: str
) -> Iterator[subprocess.Popen[str]]:
    """A station process with the fake inspector, killed at the end of the block. module: the program."""
    path = Path(data["spool"]["path"]).with_suffix(".yaml")
    path.write_text(yaml.safe_dump(data))
    command = [sys.executable, "-m", module, str(path)]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, env={**os.environ, **environment})
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def watched(data: dict[str, Any]) -> dict[str, Any]:
    """`data` with a watched folder."""
    return {**data, "cameras": [{**data["cameras"][0], "watch": True}]}


def descriptors() -> int:
    """Number of open files and sockets of this process."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def threads() -> list[str]:
    """Names of the running threads, sorted."""
    return sorted(thread.name for thread in threading.enumerate())
