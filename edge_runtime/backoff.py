"""Pauses between tries: doubling, capped."""

from __future__ import annotations


class Backoff:
    """first, 2·first, 4·first, … up to `cap` seconds; `reset` begins again."""

    def __init__(self, first: float, cap: float) -> None:
        self._first, self._cap = first, cap
        self._next = first

    def pause(self) -> float:
        """Seconds to wait now; the next pause is twice as long."""
        pause, self._next = self._next, min(self._cap, 2 * self._next)
        return pause

    def reset(self) -> None:
        """It worked: the next pause is the first again."""
        self._next = self._first

    def longest(self) -> float:
        """The cap: for a fault that hurrying makes worse."""
        self._next = self._cap
        return self._cap
