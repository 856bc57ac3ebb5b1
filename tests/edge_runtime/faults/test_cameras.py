"""The station survives a camera that stalls, fails or gives garbage, and names it in a fault."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np

from latentline.errors import CameraError, ImageError
from latentline.model import open_model
from tests.edge_runtime.fakes import BRIGHT, DARK, station_data, validate
from tests.edge_runtime.faults.running import ScriptedCamera, Step, grey, running
from tests.mosquitto import Mosquitto, Subscriber
from tests.packages import write_tiny_package
from tests.waiting import wait_until


def _live(data: dict[str, Any]) -> dict[str, Any]:
    """A live camera with `every_frame`, which is reopened soon."""
    pauses = {"stall_seconds": 0.3, "reopen_seconds": 0.02, "reopen_max_seconds": 0.05}
    return {**data, "cameras": [{"id": "top", "kind": "device", "source": 0, "every_frame": True, **pauses}]}


def test_camera_that_stalls_and_fails_is_a_fault_until_it_works(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """After a read that hangs, and errors of the camera and its driver, the station is `degraded` with the name of the
    camera, then `online`, and events continue."""
    mosquitto.start()
    camera, released = ScriptedCamera(grey(BRIGHT)), threading.Event()

    def hang() -> None:
        released.wait(30)

    troubles: list[Step] = [hang, CameraError("camera top: the cable is out"), RuntimeError("driver"), MemoryError()]
    try:
        with Subscriber(mosquitto.port) as subscriber, running(_live(station_data(tmp_path, mosquitto.port)), camera):
            subscriber.wait_state("online")
            for count, trouble in enumerate(troubles, start=1):
                subscriber.wait("defect", lambda all_: len(all_) == count)  # noqa: B023
                before = len(subscriber.messages("v1/status"))
                camera.put(trouble)
                found = subscriber.wait("v1/status", lambda all_: len(all_) > before)  # noqa: B023
                assert found[before].body["state"] == "degraded"
                assert "top" in found[before].body["reasons"][0]["message"]
                camera.put(grey(BRIGHT))
                subscriber.wait_state("online")
            released.set()
            subscriber.wait("defect", lambda all_: len(all_) == 5)
        for message in subscriber.messages():
            validate(message.topic, message.body)
    finally:
        released.set()


GARBAGE = [
    np.zeros((0, 0, 1), np.uint8),
    np.zeros((0, 640, 3), np.uint8),
    np.zeros((1, 1, 1), np.uint8),
    np.zeros((1, 300, 1), np.uint8),
    np.zeros((40, 40, 4), np.uint8),
    np.zeros((40, 40, 2), np.uint8),
    np.zeros((40, 40), np.uint8),
    np.full((40, 40, 1), np.nan, np.float32),
    np.zeros((40, 40, 1), np.int16),
    np.array("garbage"),
    np.array([{}], dtype=object),
]


SIZES = [(40, 40, 1), (17, 60, 3), (60, 16, 1), (40, 40, 3)]


def test_garbage_and_sizes_that_change_reach_the_real_inspector(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """Between frames of several sizes come arrays that are no images: all frames are inspected, and no fault stays."""
    mosquitto.start()
    package = write_tiny_package(tmp_path / "package")
    noise = np.random.default_rng(0)
    steps: list[Any] = []
    for number in range(len(GARBAGE)):
        steps += [GARBAGE[number], noise.integers(0, 256, SIZES[number % len(SIZES)], np.uint8)]
    camera = ScriptedCamera(*steps, ImageError("frame 7: cut short"))
    data = _live(station_data(tmp_path, mosquitto.port))
    data["cameras"][0]["stall_seconds"] = 60.0
    with Subscriber(mosquitto.port) as subscriber:
        with running(data, camera, open_model(package, "openvino")) as station:
            wait_until(lambda: station.summary.inspected >= len(GARBAGE), "the inspection of every frame")
            camera.put(grey(DARK, 40, 40))
            subscriber.wait_state("online")
        state = subscriber.wait_state("stopped")
    assert state["reasons"] == []


def test_package_that_is_removed_changes_nothing(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """The station needs the files of its model package only at the start."""
    mosquitto.start()
    package = write_tiny_package(tmp_path / "package")
    camera = ScriptedCamera(grey(DARK, 40, 40))
    data = _live(station_data(tmp_path, mosquitto.port))
    data["cameras"][0]["stall_seconds"] = 60.0
    with (
        Subscriber(mosquitto.port) as subscriber,
        running(data, camera, open_model(package, "openvino")) as station,
    ):
        wait_until(lambda: station.summary.inspected == 1, "a frame before")
        for file in package.iterdir():
            file.unlink()
        package.rmdir()
        camera.put(*[grey(DARK, 40, 40)] * 5)
        wait_until(lambda: station.summary.inspected == 6, "the frames after")
        assert subscriber.wait_state("online")["reasons"] == []
