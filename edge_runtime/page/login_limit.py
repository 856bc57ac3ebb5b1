"""How often somebody may try passwords."""

from __future__ import annotations

import math
import time
from collections import OrderedDict, deque
from collections.abc import Callable

_FAILURES = 5  # within _SECONDS, of one address or for one name
_SECONDS = 60.0
_MOST = 1000  # addresses and names that are remembered


class LoginLimit:
    """Counts failed logins by address and by name. clock: seconds, monotonic."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()

    def wait_seconds(self, address: str, name: str) -> int:
        """For how long nobody may try from this address or for this name; 0: not at all."""
        return max(self._wait(f"address {address}"), self._wait(f"name {name}"))

    def failed(self, address: str, name: str) -> None:
        """Somebody gave a wrong password."""
        for key in (f"address {address}", f"name {name}"):
            self._failures.setdefault(key, deque(maxlen=_FAILURES)).append(self._clock())
            self._failures.move_to_end(key)
        while len(self._failures) > _MOST:
            self._failures.popitem(last=False)

    def _wait(self, key: str) -> int:
        times = self._failures.get(key, deque())
        if len(times) < _FAILURES:
            return 0
        return max(0, math.ceil(_SECONDS - (self._clock() - times[0])))
