"""SIGTERM and Ctrl-C ask for an end, the second one insists; SIGHUP asks for a reload."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def stop_on_signals(stop: Callable[[], None], reload: Callable[[], None] | None = None) -> Iterator[None]:
    """Within the block the first SIGTERM or SIGINT calls `stop`, and the second does what it did before.

    Each SIGHUP calls `reload`; without one it is left alone. Only in the main thread. Both run between two steps of
    that thread and must not take a lock.
    """
    enders = (signal.SIGTERM, signal.SIGINT)
    numbers = enders if reload is None else (*enders, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}

    def restore(numbers: tuple[signal.Signals, ...]) -> None:
        for number in numbers:
            signal.signal(number, before[number])

    def once(_number: int, _frame: FrameType | None) -> None:
        restore(enders)  # a SIGHUP that comes late must still not end the process
        stop()

    for number in enders:
        signal.signal(number, once)
    if reload is not None:
        signal.signal(signal.SIGHUP, lambda _number, _frame: reload())
    try:
        yield
    finally:
        restore(numbers)
