"""The live view without a browser: how many may watch, and what it costs the station."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from datetime import datetime, timezone
from pathlib import Path

import cv2
import httpx
import numpy as np
import numpy.typing as npt
import pytest

from edge_runtime.cameras.base import Frame
from edge_runtime.page.latest import LatestFrames
from edge_runtime.page.live import LiveFeed
from edge_runtime.page.pictures import frame_jpeg, heat_png
from tests.edge_runtime.fakes import BRIGHT, DARK, FakeInspector
from tests.edge_runtime.page.running import RunningPage, page_data, running_page
from tests.waiting import wait_until


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPage]:
    """A station that two browsers may watch."""
    folder = tmp_path_factory.mktemp("station")
    with running_page(folder, page_data(folder, viewers=2)) as running:
        yield running


def _viewers(running: RunningPage) -> int:
    services = running.station._services
    assert services is not None and services.page is not None
    return services.page.feed.viewers


def test_events_bring_the_newest_frame(watched: RunningPage) -> None:
    """An event says what each camera saw last, and how many were good and abnormal."""
    watched.show(DARK)
    watched.show(BRIGHT)
    with watched.client("otto") as client, client.stream("GET", "/events") as answer:
        line = next(line for line in answer.iter_lines() if line.startswith("data: "))
    camera = json.loads(line.removeprefix("data: "))["cameras"]["top"]
    assert (camera["ok"], camera["abnormal"], camera["frame"]["abnormal"]) == (1, 1, True)
    assert camera["frame"]["size"] == [80, 60] and camera["frame"]["boxes"] == [[0, 0, 80, 60]]


def test_only_so_many_may_watch(watched: RunningPage) -> None:
    """One viewer too many gets a sentence, and a place when somebody goes."""
    with watched.client("otto") as client:
        with ExitStack() as stack:
            for _ in range(2):
                stack.enter_context(client.stream("GET", "/events"))
            wait_until(lambda: _viewers(watched) == 2, "two viewers")
            refused = client.get("/events")
            assert refused.status_code == 503 and "page.viewers" in refused.json()["error"]
        wait_until(lambda: _viewers(watched) == 0, "the places of those who have gone")


def test_a_viewer_that_takes_nothing_is_dropped(watched: RunningPage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A browser that takes no data loses its place, and nothing piles up for it."""
    monkeypatch.setattr("edge_runtime.page.live_view._SLOW_SECONDS", 0.2)
    monkeypatch.setattr("edge_runtime.page.live_view._FASTEST", 0.0)
    with watched.client("otto") as client, socket.socket() as silent:
        silent.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        silent.connect(("127.0.0.1", watched.port))
        cookie = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
        silent.sendall(f"GET /events HTTP/1.1\r\nHost: localhost\r\nCookie: {cookie}\r\n\r\n".encode())
        wait_until(lambda: _viewers(watched) == 1, "the viewer")
        monkeypatch.setattr("edge_runtime.page.live_view.live_state", lambda _: "x" * 10_000_000)  # beyond any buffer
        wait_until(lambda: _viewers(watched) == 0, "the end of the slow viewer")


def test_who_says_nothing_is_cut(watched: RunningPage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection without a whole request ends by itself, also after an answer."""
    monkeypatch.setattr("edge_runtime.page.server._HEAD_SECONDS", 0.1)
    request = b"GET /login HTTP/1.1\r\nHost: localhost\r\n\r\n"
    for said in (b"GET /live HT", request + b"GET /live HT"):
        with socket.create_connection(("127.0.0.1", watched.port)) as silent:
            silent.sendall(said)
            silent.settimeout(20)
            while silent.recv(4096):
                pass


def test_a_body_that_does_not_come_is_refused(watched: RunningPage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request whose body does not come in time gets an answer, and its place is free again."""
    monkeypatch.setattr("edge_runtime.page.guard._BODY_SECONDS", 0.1)
    with watched.client("otto") as client, socket.create_connection(("127.0.0.1", watched.port)) as slow:
        cookie = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
        head = [f"Cookie: {cookie}", f"X-CSRF-Token: {client.headers['X-CSRF-Token']}", "Content-Length: 100"]
        slow.sendall("\r\n".join(["POST /review/label HTTP/1.1", "Host: localhost", *head, "", "{"]).encode())
        slow.settimeout(20)
        answer = slow.recv(4096)
        assert answer.startswith(b"HTTP/1.1 409") and b"the request is not JSON" in answer + slow.recv(4096)


def test_the_station_ends_while_somebody_watches(tmp_path: Path) -> None:
    """Open events do not hold the station back."""
    running = RunningPage(tmp_path, FakeInspector(), page_data(tmp_path))
    running.start()
    with running.client("otto") as client, client.stream("GET", "/events") as answer:
        lines = answer.iter_lines()
        next(lines)
        running.stop()
        with suppress(httpx.RemoteProtocolError):
            assert all(line.startswith("data: ") or not line for line in lines)


def test_a_huge_frame_is_left_without_a_copy() -> None:
    """The station's thread only leaves a reference to a frame, and the newest takes the place of the one before."""
    latest = LatestFrames(["top"])
    frames = [Frame(np.full((8, 8, 1), 20, np.uint8), datetime.now(timezone.utc), "top", str(n), n) for n in range(3)]
    for frame in frames:
        latest.show(frame, FakeInspector().inspect(frame.picture))
    ((frame, inspection),) = latest.take()
    assert frame is frames[-1] and inspection.anomaly_map.shape == (8, 8)
    assert latest.take() == [] and latest.tallies["top"].ok == 3


def _decoded(content: bytes) -> npt.NDArray[np.uint8]:
    return np.asarray(cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED))


def test_pictures_of_any_frame_are_small() -> None:
    """A frame of 12 megapixels, and one without a pixel to spare, become pictures of at most 1280 px."""
    for shape in ((3000, 4000, 1), (1, 5000, 3), (7, 1, 1)):
        picture = _decoded(frame_jpeg(np.zeros(shape, np.uint8)))
        assert max(picture.shape[:2]) == min(1280, max(shape[:2]))
        heat = _decoded(heat_png(np.zeros(shape[:2], np.float32)))
        assert heat.shape[2] == 4 and not heat[..., 3].any() and max(heat.shape[:2]) <= 480


def test_pictures_leave_the_cores_to_the_inspection() -> None:
    """After pictures that took long the feed rests nine times as long, and a second where nobody watches."""
    feed = LiveFeed(LatestFrames([]), lambda: None)  # type: ignore[arg-type,return-value]
    assert feed._pause(0.001) == 1.0
    feed.viewers = 1
    assert feed._pause(0.001) == pytest.approx(0.199)
    assert feed._pause(1.0) == pytest.approx(9.0)


def test_a_hanging_snapshot_does_not_stop_pictures(tmp_path: Path) -> None:
    """When the station's state cannot be read, pictures still come, and the state is said to be old."""
    running = RunningPage(tmp_path, FakeInspector(), page_data(tmp_path))
    running.start()
    try:
        services = running.station._services
        assert services is not None and services.page is not None
        feed = services.page.feed
        wait_until(lambda: feed.state, "a first state")
        assert feed.state is not None
        feed._take_snapshot = lambda: time.sleep(3600)  # type: ignore[assignment,return-value]
        feed.state = time.monotonic() - 60, feed.state[1]
        running.show(BRIGHT)
        with running.client("otto") as client, client.stream("GET", "/events") as answer:
            state = json.loads(next(answer.iter_lines()).removeprefix("data: "))
        assert state["cameras"]["top"]["frame"]["abnormal"]
    finally:
        running.stop()
