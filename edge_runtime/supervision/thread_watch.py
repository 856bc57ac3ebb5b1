"""Watches the threads of the station, starts them again, and gives up when that does not help."""

from __future__ import annotations

from collections.abc import Callable

from edge_runtime.kept_thread import KeptThread

_RECENT_SECONDS = 60.0  # for so long a death is a fault
_PATIENCE_SECONDS = 60.0  # without a thread that cannot be started
_DEATHS = 5  # of one thread in _RECENT_SECONDS


class ThreadWatch:
    """Call `check` every second; it never waits for a thread.

    fault    called with (`code`, sentence) while a thread is missing, or was a minute ago, else with (`code`, None)
    give_up  called once with a sentence, when a thread cannot be started for a minute, or dies again and again
    """

    def __init__(
        self, fault: Callable[[str, str | None], None], give_up: Callable[[str], None], code: str = "threads"
    ) -> None:
        self._fault, self._give_up, self._code = fault, give_up, code
        self._threads: list[KeptThread] = []
        self._faulty = False
        self.hopeless = False

    def add(self, *threads: KeptThread) -> None:
        """Watch these threads, too. Call it before the first check."""
        self._threads += threads

    def check(self) -> None:
        """Start threads that are missing."""
        for thread in self._threads:
            thread.keep()
        faults = [fault for thread in self._threads if (fault := thread.fault(_RECENT_SECONDS)) is not None]
        if faults or self._faulty:
            self._faulty = bool(faults)
            self._fault(self._code, "; ".join(faults) or None)
        if not self.hopeless and (lost := next(filter(_is_lost, self._threads), None)) is not None:
            self.hopeless = True
            self._give_up(f"the thread '{lost.name}' cannot be kept alive; the station ends to be restarted")


def _is_lost(thread: KeptThread) -> bool:
    return thread.missing_seconds() > _PATIENCE_SECONDS or thread.deaths_within(_RECENT_SECONDS) >= _DEATHS
