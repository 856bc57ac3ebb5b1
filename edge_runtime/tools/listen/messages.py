"""What a subscriber reads in a station's messages: the fields it shows, and no others.

Unknown fields are let pass, so that a listener reads the messages of a newer station too.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, Field

_Word = Annotated[str, Field(min_length=1)]


class Reason(BaseModel):
    """Why a station is not well."""

    code: str
    message: str


class Status(BaseModel):
    """State of a station."""

    at: str
    state: _Word
    reasons: list[Reason]


class Software(BaseModel):
    """Name and version."""

    name: str
    version: str


class BirthModel(BaseModel):
    """The model package a station runs."""

    name: str
    sha256: str


class BirthCamera(BaseModel):
    """One camera of a birth."""

    id: str
    kind: str


class Birth(BaseModel):
    """What runs at a station."""

    at: str
    software: Software
    model: BirthModel
    backend: str
    threshold: float
    cameras: list[BirthCamera]


class CameraStatus(BaseModel):
    """State of one camera."""

    at: str
    state: _Word
    reason: str | None


class Box(BaseModel):
    """One defect; bbox: x, y, width, height in pixels."""

    bbox: tuple[int, int, int, int]
    peak: float


class Event(BaseModel):
    """An abnormal frame."""

    event_id: _Word
    seq: int
    captured_at: str
    replayed: bool
    score: float
    threshold: float
    defects: list[Box]


class Response(BaseModel):
    """A station's answer to a command."""

    at: str
    verb: str | None = None
    ok: bool
    result: Any = None
    error: str | None = None


class Frames(BaseModel):
    """Frames since the start of the station."""

    inspected: int
    abnormal: int


class Events(BaseModel):
    """Events that the broker has not confirmed."""

    waiting: int


class HealthProcess(BaseModel):
    """The station's process."""

    rss_bytes: int


class HealthMessage(BaseModel):
    """A station's numbers now and then; faults: codes."""

    at: str
    state: _Word
    faults: list[str]
    uptime_seconds: float
    frames: Frames
    events: Events
    process: HealthProcess
