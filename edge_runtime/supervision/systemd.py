"""What systemd wants to know of a service: sd_notify(3) over $NOTIFY_SOCKET, in a few lines of our own."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Mapping

_log = logging.getLogger(__name__)


class Systemd:
    """Tells systemd, and does nothing where no systemd listens. Any thread may call.

    environment  NOTIFY_SOCKET (a path, or @name), WATCHDOG_USEC and WATCHDOG_PID are read from it
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        self.watchdog_seconds = _watchdog_seconds(environment)

    def send(self, *lines: str) -> None:
        """One datagram, e.g. `READY=1`, `STATUS=online`. A failure is logged: it must not end a station."""
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.setblocking(False)
                sender.sendto("\n".join(lines).encode(), address)
        except OSError as error:
            _log.warning("systemd cannot be told %s (%s)", lines[0], error.strerror or error)

    def reloading(self) -> None:
        """Say that a reload begins; `READY=1` ends it."""
        self.send("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")


def _watchdog_seconds(environment: Mapping[str, str]) -> float | None:
    """How often systemd wants a sign of life from this process at least; None: it does not."""
    try:
        seconds = int(environment["WATCHDOG_USEC"]) / 1e6
        mine = int(environment.get("WATCHDOG_PID", os.getpid())) == os.getpid()
    except (KeyError, ValueError):
        return None
    return seconds if mine and seconds > 0 else None
