"""Watches stages, disk and memory of a running station; informs systemd and serves the HTTP pages."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

from edge_runtime.supervision.guards import DiskGuard, MemoryGuard, memory_limit
from edge_runtime.supervision.http import HttpEndpoint
from edge_runtime.supervision.pages import health_pages
from edge_runtime.supervision.process import Process, read_process
from edge_runtime.supervision.settings import SupervisionSection
from edge_runtime.supervision.snapshot import Snapshot
from edge_runtime.supervision.state import Health
from edge_runtime.supervision.systemd import Systemd
from edge_runtime.supervision.watchdog import Watchdog

_log = logging.getLogger(__name__)
_TICK_SECONDS = 1.0
_GUARD_SECONDS = 5.0


class Supervisor:
    """Works from `start` to `close`. The threads that do the work report it at `inspector`, `sender` and `spool`.

    snapshot   returns the state of the station, for /metrics; called in a thread of its own
    spool      the file whose disk is watched
    exhausted  called with a sentence when the station must end, because it uses too much memory
    """

    def __init__(
        self,
        station: str,
        settings: SupervisionSection,
        health: Health,
        snapshot: Callable[[], Snapshot],
        spool: Path,
        exhausted: Callable[[str], None],
        *,
        systemd: Systemd | None = None,
        clock: Callable[[], float] = time.monotonic,
        process: Callable[[], Process] = read_process,
    ) -> None:
        self._health, self._clock, self._process = health, clock, process
        self.systemd = systemd or Systemd()
        watchdog = self._watchdog = Watchdog(health.fault, clock)
        self.inspector = watchdog.stage(
            "inspector", settings.inspector_seconds, "the inspector has worked on one frame"
        )
        self.sender = watchdog.stage("sender", settings.sender_seconds, "the MQTT sender has been at one step")
        self.spool = watchdog.stage("spool", settings.spool_seconds, "an event has been on its way to the disk")
        self._disk = DiskGuard(spool.parent, settings.disk_mib)
        self._memory = MemoryGuard(memory_limit(settings.memory_mib), exhausted)
        self._guards_at = clock()
        self._sent_status: str | None = None
        self.http: HttpEndpoint | None = None
        if settings.http_port is not None:
            pages = health_pages(station, health, lambda: watchdog.late, snapshot)
            self.http = HttpEndpoint(
                settings.http_host, settings.http_port, pages, health.fault, names=settings.http_names
            )
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)

    def start(self) -> None:
        """Start to watch; the state is still `starting`."""
        if self.http is not None:
            self.http.start()
        self._thread.start()

    def ready(self) -> None:
        """The station inspects frames from now on."""
        self._health.ready()
        self.systemd.send("READY=1", f"STATUS={self._status()}")

    def stopping(self) -> None:
        """The station stops."""
        self._health.stopping()
        self.systemd.send("STOPPING=1", "STATUS=stopping")

    def close(self) -> None:
        """Stop watching. Call it last, so that a stage which hangs while the station stops is still reported."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(1.0)
        if self.http is not None:
            self.http.close()

    def check(self) -> None:
        """Check everything once, as the thread does every second."""
        late = self._watchdog.check()
        if self._clock() >= self._guards_at:
            self._guards_at = self._clock() + _GUARD_SECONDS
            self._health.fault("disk.space", self._disk.check())
            self._health.fault("memory", self._memory.check(self._process().rss_bytes))
        if (status := self._status()) != self._sent_status:
            self._sent_status = status
            self.systemd.send(f"STATUS={status}")
        if self.systemd.watchdog_seconds is not None and not late:
            self.systemd.send("WATCHDOG=1")

    def _run(self) -> None:
        tick = min(_TICK_SECONDS, (self.systemd.watchdog_seconds or _TICK_SECONDS) / 3)
        while not self._closing.is_set():
            try:
                self.check()
            except Exception:  # systemd then gets no sign of life, and decides
                _log.exception("the supervisor failed")
            self._closing.wait(tick)

    def _status(self) -> str:
        """For `systemctl status`: the state and the codes of the faults."""
        state, codes = self._health.state, ", ".join(sorted(self._health.faults))
        return f"{state}: {codes}" if codes else state
