"""`latentline-edge check`: try every part of a station once and say of each whether it works."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np

from edge_runtime.cameras.base import Frame
from edge_runtime.cameras.feeds import Feeds
from edge_runtime.cameras.settings import CameraSettings
from edge_runtime.config import StationConfig, load_station
from edge_runtime.frames.frame_inspector import FrameInspector
from edge_runtime.mqtt.connection import Connected, Connection, ConnectionEvent, Disconnected
from edge_runtime.station.wiring import broker_of
from latentline.backends.settings import Backend, GpuSettings
from latentline.errors import BrokerError, CameraError, LatentlineError, PackageError

_BROKER_SECONDS = 15.0
_POLL_SECONDS = 0.1  # between two looks at whether a camera has said something


class OpenedInspector(FrameInspector, Protocol):
    """An inspector that knows why it has its backend."""

    @property
    def reason(self) -> str:
        """Why this backend, in a few words."""
        ...


class OpenModel(Protocol):
    """`latentline.open_model`, or what stands for it in a test."""

    def __call__(self, path: Path, backend: Backend, *, gpu: GpuSettings) -> OpenedInspector:
        """Open the package at `path`. Raises LatentlineError."""
        ...


@dataclass(frozen=True)
class Finding:
    """One part: does it work, and what there is to say about it."""

    part: str
    ok: bool
    message: str


def check_station(path: Path, open_model: OpenModel) -> Iterator[Finding]:
    """Findings one by one: config, model, self-test, camera, broker. A broken config ends the list."""
    try:
        config = load_station(path)
    except LatentlineError as error:
        yield Finding("config", False, str(error))
        return
    yield Finding("config", True, f"{path} describes station {config.station.id}")
    yield from _model(config, open_model)
    yield from check_parts(config)


def check_parts(config: StationConfig) -> Iterator[Finding]:
    """Findings about what is around the model: camera and broker."""
    for camera in config.cameras:
        yield _tried("camera", partial(_camera, camera))
    yield _tried("broker", lambda: _broker(config))


def _tried(part: str, trial: Callable[[], str]) -> Finding:
    try:
        return Finding(part, True, trial())
    except LatentlineError as error:
        return Finding(part, False, str(error))
    except Exception as error:
        return Finding(part, False, f"{type(error).__name__}: {error}")


def _model(config: StationConfig, open_model: OpenModel) -> Iterator[Finding]:
    opened: list[OpenedInspector] = []

    def load() -> str:
        opened.append(open_model(config.model, config.backend, gpu=config.gpu))
        identity = opened[0].identity
        return f"{identity.name} (sha256 {identity.sha256[:12]}…), backend {identity.backend} ({opened[0].reason})"

    yield _tried("model", load)
    if opened:
        yield _tried("self-test", lambda: _self_test(opened[0]))
        opened[0].close()


def _self_test(inspector: FrameInspector) -> str:
    """The same picture twice must give the same finite score."""
    size, channels = inspector.identity.tile_size, inspector.identity.channels
    picture = np.random.default_rng(0).integers(0, 256, (size, size, channels), np.uint8)
    first = inspector.begin(picture)()
    begun = time.perf_counter()
    again = inspector.begin(picture)()
    took = 1e3 * (time.perf_counter() - begun)
    if not np.isfinite(first.score) or not np.isclose(first.score, again.score, rtol=1e-3, atol=1e-3):
        raise PackageError(f"one picture got the scores {first.score} and {again.score}")
    return f"one {size} px tile in {took:.0f} ms, twice the same score"


def _camera(camera: CameraSettings) -> str:
    """One frame of a camera, as the station would get it."""
    said: list[str] = []
    feeds = Feeds([camera], lambda _code, sentence: said.append(sentence or ""))
    feeds.start()
    try:
        frame = _first_frame(feeds, camera, said)
    finally:
        feeds.close(1.0)
    if frame is not None:
        height, width, channels = frame.image.shape
        return f"{camera.id} gives {width} x {height} px, {channels} channel{'s' if channels > 1 else ''}"
    if feeds.error is not None:
        raise feeds.error
    if sentences := [sentence for sentence in said if sentence]:
        raise CameraError(sentences[-1])
    if camera.silent:
        return f"{camera.id} is ready and waits; nothing is there yet"
    raise CameraError(f"camera {camera.id}: no frame in {camera.stall_seconds:g} s")


def _first_frame(feeds: Feeds, camera: CameraSettings, said: list[str]) -> Frame | None:
    """The first frame, or None: the camera has said why not, has ended, or takes longer than it may."""
    seconds = camera.stall_seconds if camera.silent else camera.open_seconds + camera.stall_seconds
    deadline = time.monotonic() + seconds
    asked = camera.trigger != "command"
    while time.monotonic() < deadline and not feeds.ended and not any(said):
        asked = asked or bool(feeds.trigger(camera.id))  # none before the camera is open
        if (frame := feeds.get(_POLL_SECONDS)) is not None:
            return frame
    return None


def _broker(config: StationConfig) -> str:
    # Another client id, so that a station which runs at this moment is not thrown out by its own check.
    broker = replace(broker_of(config), client_id=f"{config.client_id}-check", clean_start=True)
    answers: queue.SimpleQueue[ConnectionEvent] = queue.SimpleQueue()
    connection = Connection(broker, None, answers.put)
    connection.start()
    try:
        answer = answers.get(timeout=_BROKER_SECONDS)
    except queue.Empty:
        raise BrokerError(f"broker {connection.address} does not answer") from None
    if isinstance(answer, Disconnected):
        raise BrokerError(answer.sentence)
    assert isinstance(answer, Connected)
    connection.disconnect()
    connection.join(2.0)
    return f"{connection.address} accepts {broker.client_id}"
