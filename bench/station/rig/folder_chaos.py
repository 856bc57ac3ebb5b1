"""A station over a folder that vanishes, with pictures that kill it, and what a subscriber sees of it."""

from __future__ import annotations

import random
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from bench.station.rig.broker import KillableBroker
from bench.station.rig.folder_process import PICTURES, POISON_LEVEL, start_folder_station
from bench.station.rig.process import STATION
from bench.station.rig.subscriber import SessionSubscriber
from latentline.errors import LatentlineError

JsonObject = dict[str, Any]

_PATIENCE = 30.0  # seconds for anything that the station must do
_PICTURES = 5  # that come with each harm
_IN_WORK = 12  # pictures that may come again after a death: read, waiting, in work, and inspected but not marked yet


class FolderChaos:
    """One run in `folder`: the broker stays, the station dies, and the folder of pictures goes and comes.

    blips   the folder is away, or an empty one is in its place, half of the time while a station starts
    poison  pictures that kill the process that inspects them
    """

    def __init__(self, folder: Path, blips: int, poison: int, seed: int) -> None:
        self._folder, self._random = folder, random.Random(seed)
        self._harms = ["blip"] * blips + ["poison"] * poison
        self._random.shuffle(self._harms)
        self._pictures = folder / PICTURES
        self._written = self._deaths = 0
        self._poison: set[str] = set()
        self._unsaid: list[str] = []
        self._events: list[JsonObject] = []
        self._reasons: list[str] = []
        self._station: subprocess.Popen[bytes] | None = None

    def run(self) -> None:
        """Harm, and wait until every picture is inspected. Raises LatentlineError when the station does not go on."""
        self._pictures.mkdir(parents=True)
        with ExitStack() as stack:
            broker = KillableBroker(self._folder / "broker")
            stack.callback(broker.stop)
            broker.start()
            self._port, topic = broker.port, f"latentline/{STATION}/v1/"
            for name, ending, receive in (
                ("events", "cam/+/defect", self.event_received),
                ("states", "status", self._status_received),
            ):
                stack.callback(SessionSubscriber(self._port, name, topic + ending, receive).close)
            stack.callback(self._kill)
            self._start()
            for harm in self._harms:
                self.write(self._pictures)
                time.sleep(self._random.uniform(0, 0.3))
                self._blip() if harm == "blip" else self._poison_picture()
            self._wait(lambda: not self._missing, "the last pictures")

    def figures(self) -> dict[str, Any]:
        """lost: pictures without an event. repeated: events about a picture that this run of the process, or more than
        a dozen pictures at each death, had inspected before. unsaid: harms that no reason of the status named."""
        events = {event["event_id"]: event for event in self._events}.values()  # a broker may deliver one twice
        runs = Counter((event["boot_id"], event["frame"]["source"]) for event in events)
        in_a_run = sum(runs.values()) - len(runs)
        after_deaths = len(runs) - len({source for _, source in runs})
        return {
            "pictures": self._written,
            "lost": len(self._missing),
            "repeated": in_a_run + max(0, after_deaths - _IN_WORK * self._deaths),
            "after_deaths": after_deaths,
            "deaths": self._deaths,
            "blips": self._harms.count("blip"),
            "poison": len(self._poison),
            "unsaid": len(self._unsaid),
        }

    @property
    def _missing(self) -> set[str]:
        named = {f"{number:06}.png" for number in range(self._written)} - self._poison
        return named - {event["frame"]["source"] for event in list(self._events)}

    def _blip(self) -> None:
        """The pictures are elsewhere for a while, and others come meanwhile."""
        elsewhere, empty = self._folder / "elsewhere", self._random.random() < 0.5
        restart = self._random.random() < 0.5
        self._wait(lambda: not self._missing, "the pictures before the blip")
        self._reasons.clear()
        if restart:
            self._kill()
        self._pictures.rename(elsewhere)
        if empty:
            self._pictures.mkdir()
        if restart:
            self._start()
        self.write(elsewhere)
        self._said("camera.line ", f"blip with{'' if empty else 'out'} an empty folder, restart: {restart}")
        if empty:
            self._pictures.rmdir()
        elsewhere.rename(self._pictures)

    def _poison_picture(self) -> None:
        """It kills the station, and again, and is then named."""
        name = f"{self._written:06}.png"
        self._poison.add(name)
        self._reasons.clear()
        self.write(self._pictures, [np.full((48, 64), POISON_LEVEL, np.uint8)])
        for _ in range(2):
            station = self._station
            assert station is not None
            self._wait(lambda: station.poll() is not None, "the death of the station")  # noqa: B023
            self._deaths += 1
            self._start()
        self._said(name, f"poison picture {name}")

    def _said(self, text: str, harm: str) -> None:
        deadline = time.monotonic() + _PATIENCE
        while not any(text in reason for reason in list(self._reasons)):
            if time.monotonic() > deadline:
                self._unsaid.append(harm)
                return
            time.sleep(0.01)

    def event_received(self, event: JsonObject, _retained: bool) -> None:
        """An event has arrived."""
        self._events.append(event)

    def _status_received(self, status: JsonObject, _retained: bool) -> None:
        self._reasons += [f"{reason['code']} {reason['message']}" for reason in status["reasons"]]

    def write(self, folder: Path, images: list[np.ndarray[Any, Any]] | None = None) -> None:
        """Write `images`, or a few with a defect, into `folder`."""
        for image in images or [self._image() for _ in range(_PICTURES)]:
            part = folder / ".part"
            part.write_bytes(cv2.imencode(".png", image)[1].tobytes())
            part.rename(folder / f"{self._written:06}.png")
            self._written += 1

    def _image(self) -> np.ndarray[Any, Any]:
        image = np.full((48, 64), 60, np.uint8)
        image[10:20, self._written % 50 :][:, :8] = 220
        return image

    def _start(self) -> None:
        self._station = start_folder_station(self._folder, self._port)

    def _kill(self) -> None:
        if self._station is not None and self._station.poll() is None:
            self._station.kill()
            self._station.wait()
            self._deaths += 1

    def _wait(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + _PATIENCE
        while not condition():
            if time.monotonic() > deadline:
                raise LatentlineError(f"waited {_PATIENCE:g} s in vain for {what}")
            time.sleep(0.01)
