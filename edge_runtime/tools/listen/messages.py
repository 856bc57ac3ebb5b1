"""The fields of a station's messages that `listen` prints.

Unknown fields are ignored, so that `listen` can read the messages of a newer station.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, Field

_Word = Annotated[str, Field(min_length=1)]


class Reason(BaseModel):
    """A fault of a station."""

    code: str
    message: str


class Status(BaseModel):
    """The state of a station."""

    at: str
    state: _Word
    reasons: list[Reason]
    spool_damaged: int = 0
    dead_letters: int = 0


class Software(BaseModel):
    """Name and version of the software."""

    name: str
    version: str


class BirthModel(BaseModel):
    """The model package a station runs."""

    name: str
    sha256: str


class BirthCamera(BaseModel):
    """One camera of a station."""

    id: str
    kind: str


class Birth(BaseModel):
    """What runs on a station."""

    at: str
    software: Software
    model: BirthModel
    backend: str
    threshold: float
    cameras: list[BirthCamera]


class CameraStatus(BaseModel):
    """The state of a camera."""

    at: str
    state: _Word
    reason: str | None
    lateness_seconds: float | None = None


class EventDefect(BaseModel):
    """One defect. bbox: x, y, width, height in pixels."""

    bbox: tuple[int, int, int, int]
    peak: float


class Event(BaseModel):
    """An event: one abnormal frame."""

    event_id: _Word
    seq: int
    captured_at: str
    replayed: bool
    score: float
    threshold: float
    defects: list[EventDefect]


class Response(BaseModel):
    """The answer to a command."""

    at: str
    verb: str | None = None
    ok: bool
    result: Any = None
    error: str | None = None


class Frames(BaseModel):
    """Counts of frames since the start of the station."""

    inspected: int
    abnormal: int


class Events(BaseModel):
    """The number of events that the broker has not confirmed."""

    waiting: int


class HealthProcess(BaseModel):
    """The station's process."""

    rss_bytes: int


class HealthCamera(BaseModel):
    """A camera's numbers. lateness_seconds: age of its newest frame with a verdict, when that was there."""

    lateness_seconds: float | None = None


class HealthMessage(BaseModel):
    """A health message. faults: codes."""

    at: str
    state: _Word
    faults: list[str]
    uptime_seconds: float
    frames: Frames
    events: Events
    cameras: list[HealthCamera] = []
    process: HealthProcess
