"""SIGTERM and Ctrl-C ask for an end; the second one insists."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def stop_on_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Within the block the first SIGTERM or SIGINT calls `stop`, and the second does what it did before.

    Only in the main thread. `stop` runs between two steps of that thread and must not take a lock.
    """
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def once(_number: int, _frame: FrameType | None) -> None:
        restore()
        stop()

    for number in before:
        signal.signal(number, once)
    try:
        yield
    finally:
        restore()
