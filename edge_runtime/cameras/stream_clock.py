"""How far reading is behind a stream, by the times that the stream gives its frames."""

from __future__ import annotations

_DRIFT = 2e-4  # seconds a second that the clocks of stream and machine may differ


class StreamClock:
    """The least delay seen so far is taken for none: what a frame is later than that, it has waited unread.

    The network, the stream's start and its clock fix the least delay. It may grow by _DRIFT, so that a camera whose
    clock is slow does not fall behind on paper.
    """

    def __init__(self) -> None:
        self._last = self._at = self._least = 0.0

    def behind(self, now: float, position: float) -> float:
        """For how long the frame has waited, seconds. now: monotonic; position: the stream's time of the frame.

        0 where that is not known: for the first frame, and when the stream's time goes back or stands still.
        """
        delay = now - position
        if position <= self._last or not self._at:
            self._least = delay
        self._least = min(delay, self._least + _DRIFT * (now - self._at))
        self._last, self._at = position, now
        return delay - self._least
