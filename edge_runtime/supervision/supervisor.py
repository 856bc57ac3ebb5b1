"""Watches stages, threads, disk and memory of a running station; informs systemd and serves the HTTP pages."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

from edge_runtime.kept_thread import KeptThread
from edge_runtime.supervision.disk_watch import DiskWatch
from edge_runtime.supervision.guards import DiskGuard, MemoryGuard, memory_limit
from edge_runtime.supervision.http import HttpEndpoint
from edge_runtime.supervision.pages import health_pages
from edge_runtime.supervision.process import Process, read_process
from edge_runtime.supervision.settings import SupervisionSection
from edge_runtime.supervision.snapshot import Snapshot
from edge_runtime.supervision.state import Health
from edge_runtime.supervision.systemd import Systemd
from edge_runtime.supervision.thread_watch import ThreadWatch
from edge_runtime.supervision.watchdog import Watchdog

_log = logging.getLogger(__name__)
_TICK_SECONDS = 1.0
_GUARD_SECONDS = 5.0


class Supervisor:
    """Works from `start` to `close`. The threads that do the work report it at `inspector`, `sender` and `spool`.

    It waits for nothing that it watches, so that it can say what hangs.

    snapshot  returns the state of the station, for /metrics; called in a thread of its own
    spool     the file whose disk is watched
    restart   called with a sentence when only a new process can help: the station must end
    publish   called about every second, to publish what is watched elsewhere; must not wait
    """

    def __init__(
        self,
        station: str,
        settings: SupervisionSection,
        health: Health,
        snapshot: Callable[[], Snapshot],
        spool: Path,
        restart: Callable[[str], None],
        *,
        publish: Callable[[], None] = lambda: None,
        systemd: Systemd | None = None,
        clock: Callable[[], float] = time.monotonic,
        process: Callable[[], Process] = read_process,
    ) -> None:
        self._health, self._clock, self._process, self._publish = health, clock, process, publish
        self.systemd = systemd or Systemd()
        watchdog = self._watchdog = Watchdog(health.fault, clock)
        self.inspector = watchdog.stage(
            "inspector",
            settings.inspector_seconds,
            "the inspector has worked on one frame",
            settings.failed_frames,
            "the inspector has failed at",
        )
        self.sender = watchdog.stage("sender", settings.sender_seconds, "the MQTT sender has been at one step")
        self.spool = watchdog.stage("spool", settings.spool_seconds, "the station has been at one write to the disk")
        self._disk = DiskWatch(DiskGuard(spool.parent, settings.disk_mib), clock)
        self._memory = MemoryGuard(memory_limit(settings.memory_mib), restart)
        self._guards_at = clock()
        self._sent_status: str | None = None
        self.http: HttpEndpoint | None = None
        if settings.http_port is not None:
            pages = health_pages(station, health, lambda: self.troubled, snapshot)
            self.http = HttpEndpoint(
                settings.http_host, settings.http_port, pages, health.fault, names=settings.http_names
            )
        self._closing = threading.Event()
        self._thread = KeptThread("supervisor", self._run)
        self._threads = ThreadWatch(health.fault, restart)
        self._threads.add(self._disk.thread, *(self.http.threads if self.http is not None else ()))
        self._own_thread = ThreadWatch(health.fault, restart, "threads.supervisor")
        self._own_thread.add(self._thread)

    def start(self, *threads: KeptThread) -> None:
        """Start to watch, these threads among others; the state is still `starting`."""
        self._threads.add(*threads)
        if self.http is not None:
            self.http.start()
        self._disk.thread.start()
        self._thread.start()

    def keep(self) -> None:
        """Start the supervisor's own thread again if it is missing. For the station's thread, about every second."""
        self._own_thread.check()

    @property
    def troubled(self) -> frozenset[str]:
        """Codes of what only a restart may help: then /healthz is 503, and systemd gets no sign of life."""
        hopeless = {"threads"} if self._threads.hopeless or self._own_thread.hopeless else set()
        return self._watchdog.troubled | hopeless

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
        self._thread.join(1.0)
        self._disk.close()
        if self.http is not None:
            self.http.close()

    def check(self) -> None:
        """Check everything once, as the thread does every second."""
        self._watchdog.check()
        self._threads.check()
        if self._clock() >= self._guards_at:
            self._guards_at = self._clock() + _GUARD_SECONDS
            self._disk.ask()
            self._health.fault("memory", self._memory.check(self._process().rss_bytes))
        self._health.fault("disk.space", self._disk.fault)
        if (status := self._status()) != self._sent_status:
            self._sent_status = status
            self.systemd.send(f"STATUS={status}")
        if self.systemd.watchdog_seconds is not None and not self.troubled:
            self.systemd.send("WATCHDOG=1")

    def _run(self) -> None:
        tick = min(_TICK_SECONDS, (self.systemd.watchdog_seconds or _TICK_SECONDS) / 3)
        while not self._closing.is_set():
            for work in (self.check, self._publish):
                try:
                    work()
                except Exception:  # without a check systemd gets no sign of life, and decides
                    _log.exception("the supervisor failed")
            self._closing.wait(tick)

    def _status(self) -> str:
        """For `systemctl status`: the state and the codes of the faults."""
        state, codes = self._health.state, ", ".join(sorted(self._health.faults))
        return f"{state}: {codes}" if codes else state
