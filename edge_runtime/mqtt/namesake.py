"""Another station with our id, as its messages on our status topic show.

Two stations with one id write the same topics and count `seq` each for itself, and consumers take them for one. A
broker tells neither of them where their client ids differ. But each run of a station has a `boot_id` of its own.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from edge_runtime.mqtt.packets import Received

_RUNNING = ("starting", "online", "degraded")


@dataclass(frozen=True)
class _Sighting:
    boot_id: str
    at: float  # time.monotonic()


class Namesake:
    """The network thread calls `received`, the sender thread `check`.

    station   our id
    boot_id   of this run
    lifetime  seconds after which another station counts as gone when it says nothing; a station repeats its status
              three times as often
    on_fault  called with ("station_id", sentence or None)
    """

    def __init__(
        self,
        station: str,
        boot_id: str,
        lifetime: float,
        on_fault: Callable[[str, str | None], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._station, self._boot_id, self._lifetime = station, boot_id, lifetime
        self._on_fault, self._clock = on_fault, clock
        self._own_seen = False
        self._seen: _Sighting | None = None
        self._told: str | None = None  # its boot_id

    def received(self, item: Received) -> None:
        """A message on our status topic: our own, too, so that an older run's retained one is known for what it is."""
        try:
            message = json.loads(item.payload)
            boot_id, state = str(uuid.UUID(message["boot_id"])), message["state"]
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return  # a probe of `check`, or of somebody else
        if boot_id == self._boot_id:
            self._own_seen = True
        elif state in _RUNNING and self._own_seen:
            self._seen = _Sighting(boot_id, self._clock())
        elif self._seen is not None and boot_id == self._seen.boot_id and state not in _RUNNING:
            self._seen = None

    def check(self) -> None:
        """Report another station, or that it is gone."""
        seen = self._seen
        if seen is not None and self._clock() - seen.at > self._lifetime:
            seen = None
        boot_id = None if seen is None else seen.boot_id
        if boot_id != self._told:
            self._told = boot_id
            self._on_fault("station_id", None if boot_id is None else self._sentence(boot_id))

    def _sentence(self, boot_id: str) -> str:
        return (
            f"another station with the id '{self._station}' is at this broker (boot_id {boot_id}), and its messages "
            "are taken for this station's; stop one of them, or give each its own station.id"
        )
