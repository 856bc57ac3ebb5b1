"""Another client with our client id: the broker throws out whoever came first, so both would do so for ever."""

from __future__ import annotations

import time
from collections.abc import Callable

from edge_runtime.backoff import Backoff

_LONGEST = 20  # times the longest pause of an ordinary reconnect


class Rival:
    """Pauses long, and longer each time, before the id is used again; and knows when the other one has gone.

    Each side is thrown out in turn, so a rival that does as we do comes back within three of our pauses at the latest.
    Used by one thread.
    """

    def __init__(self, ordinary: Backoff, clock: Callable[[], float] = time.monotonic) -> None:
        self._ordinary, self._clock = ordinary, clock
        self._pauses: Backoff | None = None  # None: there is no rival
        self._pause = 0.0
        self._since: float | None = None

    def appeared(self) -> float:
        """It took our place; seconds to wait before we take it back."""
        if self._pauses is None:
            longest = self._ordinary.longest()
            self._pauses = Backoff(longest, _LONGEST * longest)
        self._pause, self._since = self._pauses.pause(), None
        return self._pause

    def sentence(self, client_id: str, broker: str) -> str:
        """The fault."""
        return (
            f"another client uses the client id '{client_id}' at broker {broker} and has taken this station's place; "
            f"give every station a station.id (or mqtt.client_id) of its own; tried again after {self._pause:g} s"
        )

    def connected(self) -> None:
        """We have the place again."""
        self._since = self._clock()

    def gone(self) -> bool:
        """True once, when we have kept the place for longer than a rival would have let us."""
        if self._pauses is None or self._since is None or self._clock() - self._since < 3 * self._pause:
            return False
        self._pauses = None
        self._ordinary.reset()
        return True
