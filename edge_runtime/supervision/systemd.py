"""Notifications to systemd: sd_notify(3) over $NOTIFY_SOCKET, without a library."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Mapping

_log = logging.getLogger(__name__)


class Systemd:
    """Sends notifications; does nothing without systemd. Any thread may call.

    environment  holds NOTIFY_SOCKET (a path, or @name), WATCHDOG_USEC and WATCHDOG_PID
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        self.watchdog_seconds = _watchdog_seconds(environment)

    def send(self, *lines: str) -> None:
        """Send one datagram, e.g. `READY=1`, `STATUS=online`. An error is logged, because it must not end a station."""
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.setblocking(False)
                sender.sendto("\n".join(lines).encode(), address)
        except OSError as error:
            _log.warning("cannot notify systemd of %s (%s)", lines[0], error.strerror or error)

    def reloading(self) -> None:
        """Notify that a reload starts; `READY=1` ends it."""
        self.send("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")


def _watchdog_seconds(environment: Mapping[str, str]) -> float | None:
    """Longest time between two signs of life of this process; None: systemd expects none."""
    try:
        seconds = int(environment["WATCHDOG_USEC"]) / 1e6
        for_us = int(environment.get("WATCHDOG_PID", os.getpid())) == os.getpid()
    except (KeyError, ValueError):
        return None
    return seconds if for_us and seconds > 0 else None
