"""What a roll-out knows of a station from its messages: state, reasons, model, counts."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from edge_runtime.mqtt.packets import Received
from edge_runtime.mqtt.topics import Topics
from edge_runtime.tools.listen.messages import Birth, HealthMessage, Status

_RUNNING = ("online", "degraded")
_PATIENCE_SECONDS = 30.0  # for a station that is offline: a broker or a network may have restarted
_SILENT_SECONDS = 90.0  # without a health message: three of the usual periods
Message = TypeVar("Message", bound=BaseModel)


class RunningStatus(Status):
    """A status, and which run of the station's process it is of."""

    boot_id: str


class CommandedBirth(Birth):
    """A birth message, and which commands the station carries out."""

    commands: tuple[str, ...] = ()


class WatchedStation:
    """The newest messages of one station.

    health_at  of the clock, when `health` came
    clock      seconds, monotonic
    """

    def __init__(self, topics: Topics, clock: Callable[[], float] = time.monotonic) -> None:
        self.topics, self._clock = topics, clock
        self._absent_at: float | None = None  # of the clock, since when it has been offline
        self.status: RunningStatus | None = None
        self.birth: CommandedBirth | None = None
        self.health: HealthMessage | None = None
        self.health_at = 0.0

    def take(self, message: Received) -> None:
        """Take a message of the station; one that is none is ignored."""
        if message.topic == self.topics.status:
            self.status = _read(message, RunningStatus) or self.status
            if self.absence is None:
                self._absent_at = None
            elif self._absent_at is None:
                self._absent_at = self._clock()
        elif message.topic == self.topics.birth:
            self.birth = _read(message, CommandedBirth) or self.birth
        elif message.topic == self.topics.health and (health := _read(message, HealthMessage)) is not None:
            self.health, self.health_at = health, self._clock()

    @property
    def model(self) -> str | None:
        """sha256 of the model that runs; None: unknown."""
        return self.birth.model.sha256 if self.birth is not None else None

    @property
    def boot_id(self) -> str | None:
        """Which run of the station's process it is."""
        return self.status.boot_id if self.status is not None else None

    @property
    def reasons(self) -> dict[str, str]:
        """Why it is degraded, by code."""
        return {reason.code: reason.message for reason in self.status.reasons} if self.status is not None else {}

    @property
    def is_settled(self) -> bool:
        """Whether it has said how it is, and that is not about to change."""
        return self.status is not None and self.status.state != "starting"

    @property
    def absence(self) -> str | None:
        """Why it cannot be commanded, a clause; None: it runs."""
        if self.status is None:
            return f"there is no status on {self.topics.status}"
        return None if self.status.state in _RUNNING else f"it is {self.status.state}"

    @property
    def loss(self) -> str | None:
        """Why nobody should wait for it any more, a clause; None: it runs, or may be back soon."""
        if self.status is None or self.status.state == "stopped":
            return self.absence
        if self._absent_at is not None and self._clock() > self._absent_at + _PATIENCE_SECONDS:
            return self.absence
        if self.health is not None and self._clock() > self.health_at + _SILENT_SECONDS:
            return f"it has sent no health message for {_SILENT_SECONDS:g} s"
        return None


def _read(message: Received, kind: type[Message]) -> Message | None:
    try:
        data: Any = json.loads(message.payload)
        return kind.model_validate(data)
    except (ValueError, ValidationError, RecursionError):
        return None
