"""Whether the station that runs now has reached the broker that runs now."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any


class ConnectedStation:
    """Set by a status of the running station, which has opened its spool then.

    A broker that was killed sends statuses a second time, and those of a killed station may come late: they do not
    count. So the rig's station has its process number as `boot_id`, and `at` is compared with the last kill or start.
    """

    def __init__(self) -> None:
        self._known = threading.Event()
        self._process: int | None = None
        self._since = datetime.now(timezone.utc)

    def started(self, process: int) -> None:
        """A station was started."""
        self._known.clear()
        self._process = process
        self.lost()

    def lost(self) -> None:
        """The broker was killed."""
        self._since = datetime.now(timezone.utc)
        self._known.clear()

    def status_received(self, status: Mapping[str, Any], *, retained: bool) -> None:
        """A status came, perhaps an old one."""
        at = datetime.fromisoformat(status["at"].replace("Z", "+00:00"))
        ours = status["boot_id"] == str(self._process) and at >= self._since
        if ours and not retained and status["state"] != "offline":
            self._known.set()

    def is_set(self) -> bool:
        """Whether it has reached the broker."""
        return self._known.is_set()
