"""The last faults of the station, also those that are over."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone

_MOST = 100


@dataclass
class PastFault:
    """A fault with its newest sentence. ended: None while it lasts. Both times are UTC."""

    code: str
    sentence: str
    began: datetime
    ended: datetime | None = None


class FaultHistory:
    """`changed` comes from one thread at a time, as `Health` calls it; any thread may read. now: the time in UTC."""

    def __init__(self, now: Callable[[], datetime] = lambda: datetime.now(timezone.utc)) -> None:
        self._now = now
        self._present: dict[str, PastFault] = {}
        self._newest: deque[PastFault] = deque(maxlen=_MOST)

    def changed(self, faults: Mapping[str, str]) -> None:
        """The present faults, sentence by code. Takes no lock and waits for nothing."""
        for code in [code for code in self._present if code not in faults]:
            self._present.pop(code).ended = self._now()
        for code, sentence in faults.items():
            if code in self._present:
                self._present[code].sentence = sentence
            else:
                self._present[code] = PastFault(code, sentence, self._now())
                self._newest.appendleft(self._present[code])

    @property
    def newest(self) -> list[PastFault]:
        """The newest faults first."""
        return list(self._newest)
