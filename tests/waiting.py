"""Wait for a condition, not for a time."""

from __future__ import annotations

import time
from collections.abc import Callable


def wait_until(condition: Callable[[], object], what: str, seconds: float = 20.0) -> None:
    """Poll `condition` until it holds. After `seconds`, raises AssertionError that names `what`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s in vain for {what}"
        time.sleep(0.01)  # a pause between two polls, not a synchronisation
