"""Fetches packages into the station's folder, one at a time, in a thread of its own."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_runtime.commands.actions import Finish
from edge_runtime.commands.package_source import PackageFolder, PackageSource, PackageWebsite
from edge_runtime.commands.request import CommandError
from edge_runtime.commands.settings import FetchSection
from edge_runtime.commands.transfer import Transfer, TransferLimits
from edge_runtime.pacing import Backoff
from latentline.errors import LatentlineError

_log = logging.getLogger(__name__)
_SILENT_SECONDS = 20.0  # without an answer, after which a try has failed
_GRACE_SECONDS = 30.0  # beyond the limit, after which a thread that hangs in a share or a name server is left behind


@dataclass(frozen=True)
class _Running:
    name: str
    finish: Finish
    transfer: Transfer
    deadline: float  # of the fetcher's clock
    outcome: queue.SimpleQueue[dict[str, Any] | Exception]  # of this request alone


class PackageFetcher:
    """All but the transfer itself runs in the station's thread.

    settings  None: nothing is fetched
    folder    where packages lie
    spare     bytes that stay free on its disk
    clock     seconds, monotonic
    """

    def __init__(
        self, settings: FetchSection | None, folder: Path, spare: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._settings, self._folder, self._spare, self._clock = settings, folder, spare, clock
        self._running: _Running | None = None

    def request(self, name: str, sha256: str, finish: Finish) -> None:
        """Start to fetch the package `name`, a .zip with this sha256. `run_pending` or `close` calls `finish`, once.

        Raises CommandError while another one is fetched, or when this station fetches nothing.
        """
        if self._settings is None:
            raise CommandError("this station fetches no packages; it has no commands.fetch")
        if self._running is not None:
            raise CommandError(f"{self._running.name} is being fetched; try again later")
        limits = TransferLimits(self._settings.max_mib << 20, self._spare, self._settings.max_seconds)
        source, pauses = source_of(self._settings), Backoff(1.0, 30.0)
        transfer = Transfer(source, self._folder, name, sha256, limits, pauses)
        deadline = self._clock() + limits.seconds + _GRACE_SECONDS
        running = _Running(name, finish, transfer, deadline, queue.SimpleQueue())
        thread = threading.Thread(target=_transfer, args=(running,), name="package fetcher", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # no thread, no memory
            raise CommandError(f"the package cannot be fetched now ({error}); try again later") from None
        self._running = running

    def run_pending(self) -> None:
        """Answer the request if its transfer has ended or is overdue."""
        running = self._running
        if running is None:
            return
        try:
            outcome: Any = running.outcome.get_nowait()
        except queue.Empty:
            if self._clock() <= running.deadline:
                return
            running.transfer.stop.set()
            outcome = CommandError(f"{running.name} was not there in time, and its source does not answer")
        self._running = None
        if isinstance(outcome, Exception) and not isinstance(outcome, LatentlineError):
            _log.error("the station could not fetch %s", running.name, exc_info=outcome)
            outcome = CommandError(f"{running.name} cannot be fetched ({type(outcome).__name__}: {outcome})")
        running.finish(outcome)

    def close(self) -> None:
        """Stop a transfer; what has arrived is kept for the next one."""
        running, self._running = self._running, None
        if running is not None:
            running.transfer.stop.set()
            running.finish(CommandError("the station stopped before the package was there; ask again"))


def source_of(settings: FetchSection) -> PackageSource:
    """Where the settings say that packages come from."""
    if settings.source.startswith("/"):
        return PackageFolder(Path(settings.source))
    return PackageWebsite(settings.source, settings.ca, _SILENT_SECONDS)


def _transfer(running: _Running) -> None:
    try:
        outcome: dict[str, Any] | Exception = running.transfer.run()
    except Exception as error:
        outcome = error
    running.outcome.put(outcome)
