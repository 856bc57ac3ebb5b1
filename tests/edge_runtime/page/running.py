"""A station with its page, in threads of the test: a real station around a fake inspector, without a broker."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import numpy.typing as npt

from edge_runtime.archive.reader import ArchiveReader, FrameQuery
from edge_runtime.cameras.base import IDLE, Frame, Idle
from edge_runtime.config import StationConfig
from edge_runtime.page.users import UserFile
from edge_runtime.station.station import Station
from latentline.base.strict_yaml import parse
from latentline.errors import ArchiveError
from latentline.package.baseline import NormalBaseline
from tests.edge_runtime.fakes import FakeInspector, station_data
from tests.sharing import free_port
from tests.waiting import wait_until


class CalibratedInspector(FakeInspector):
    """The fake inspector, whose calibration saw a hundred normal frames with the scores 0 … 99."""

    baseline = NormalBaseline(np.arange(100.0), None, 0.05)  # type: ignore[assignment]


class QueuedCamera:
    """Gives the pictures that the test puts into it."""

    def __init__(self, name: str) -> None:
        self.name, self._number, self.source = name, 0, "picture.png"
        self._pictures: queue.Queue[npt.NDArray[np.uint8]] = queue.Queue()
        self._closed = threading.Event()

    def put(self, picture: npt.NDArray[np.uint8]) -> None:
        self._pictures.put(picture)

    def open(self) -> None:
        self._closed.clear()

    def read(self) -> Frame | Idle | None:
        if self._closed.is_set():
            return None
        try:
            picture = self._pictures.get(timeout=0.05)
        except queue.Empty:
            return IDLE
        self._number += 1
        return Frame(picture, datetime.now(timezone.utc), self.name, self.source, self._number)

    def close(self) -> None:
        self._closed.set()


class RunningPage:
    """A station that runs, with a user of each role. station: as the YAML would say it."""

    def __init__(self, folder: Path, inspector: FakeInspector, data: Mapping[str, Any]) -> None:
        self.folder, self.port = folder, int(data["page"]["port"])
        self.config = parse(data, StationConfig, "-")
        self._pictures = 0
        self._plain = self.config.page is not None and self.config.page.tls is None
        names = [camera.id for camera in self.config.cameras]
        self.cameras = {name: QueuedCamera(name) for name in names}
        makers = {name: (lambda camera=camera: camera) for name, camera in self.cameras.items()}
        self.station = Station(self.config, inspector, cameras=makers)
        users = UserFile(self.config.spool.path.with_suffix(".users.json"))
        self.passwords = {"anna": users.add("anna", "engineer"), "otto": users.add("otto", "operator")}
        self._thread = threading.Thread(target=self.station.run, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}" if self._plain else f"https://localhost:{self.port}"

    @property
    def audit(self) -> str:
        return self.config.spool.path.with_suffix(".audit.jsonl").read_text()

    def show(self, level: int) -> None:
        """Give the station a picture, and wait until the page can show it."""
        services = self.station._services
        assert services is not None and services.page is not None
        feed = services.page.feed
        before = feed._number
        self._give(level)
        wait_until(lambda: feed._number > before, "the frame on the page")

    def archive(self, *levels: int) -> list[str]:
        """Give the station pictures, and wait until they are archived; returns their ids, in that order."""
        for level in levels:
            self._give(level)
        wait_until(lambda: len(self.archived()) == self._pictures, "the pictures in the archive")
        return self.archived()[-len(levels) :]

    def archived(self) -> list[str]:
        """The ids of all pictures in the archive, by time; none before the station has made it."""
        try:
            frames = ArchiveReader(self.archive_path).frames(FrameQuery(), "newest", 1000).frames
        except ArchiveError:
            return []
        return [frame.verdict.id for frame in reversed(frames)]

    @property
    def archive_path(self) -> Path:
        assert self.config.archive is not None
        return self.config.archive.path

    def _give(self, level: int) -> None:
        """A picture of this mean level that no other equals."""
        self._pictures += 1
        picture = np.full((60, 80, 1), level, np.uint8)
        picture[0, self._pictures % 80] = self._pictures % 250
        self.cameras["top"].put(picture)

    @contextmanager
    def client(self, user: str | None = None) -> Iterator[httpx.Client]:
        """A client that is no browser; logged in if `user` is given. Sends the token of its session."""
        with httpx.Client(base_url=self.url, timeout=20.0) as client:
            if user is not None:
                answer = client.post("/login", data={"name": user, "password": self.passwords[user]})
                assert answer.status_code == 303, answer.text
                page = client.get("/live").text
                client.headers["X-CSRF-Token"] = page.split('name="csrf" content="')[1].split('"')[0]
            yield client

    def start(self, answers: bool = True) -> None:
        """Start the station. answers: wait until its page does."""
        self._thread.start()
        if answers:
            wait_until(self._answers, "the page")

    def stop(self) -> None:
        self.station.stop()
        self._thread.join(20)
        assert not self._thread.is_alive()

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/login", verify=False).status_code == 200
        except httpx.TransportError:
            return False


def page_data(folder: Path, **page: Any) -> dict[str, Any]:
    """A station with a page on a free port, and no broker."""
    folder.mkdir(exist_ok=True)
    data = station_data(folder, free_port())
    data["commands"] = {"threshold": {"minimum": 10, "maximum": 200}}
    shares = {"abnormal": 1.0, "near_threshold": 1.0, "width": 1000.0}
    data["archive"] = {"path": str(folder / "archive"), "shares": shares, "min_free_mib": 0}
    data["page"] = {"port": free_port(), **page}
    return data


@contextmanager
def running_page(folder: Path, data: Mapping[str, Any] | None = None) -> Iterator[RunningPage]:
    """A station with its page, running inside the block."""
    running = RunningPage(folder, CalibratedInspector(), data or page_data(folder))
    running.start()
    try:
        yield running
    finally:
        running.stop()
