"""SIGTERM and Ctrl-C ask a program to end in good order; SIGHUP asks it to reload."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType


@dataclass
class StopRequest:
    """`number` is the last signal that asked for an end; None until one comes."""

    number: int | None = None


@contextmanager
def stop_on_signals(
    stop: Callable[[], None] | None = None, reload: Callable[[], None] | None = None
) -> Iterator[StopRequest]:
    """Within the block SIGTERM and SIGINT ask for an end. Outside the main thread nothing changes: Python's rule.

    stop    called on the first of them; the second one then does what it did before the block. None: the request only
            notes the signal; a second SIGINT raises KeyboardInterrupt, a second SIGTERM is noted like the first
    reload  called on each SIGHUP; None: SIGHUP is left alone
    Both are called between two steps of the main thread and must not take a lock.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    enders = (signal.SIGTERM, signal.SIGINT)
    numbers = enders if reload is None else (*enders, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}

    def restore(numbers: tuple[signal.Signals, ...]) -> None:
        for number in numbers:
            signal.signal(number, before[number])

    def ask(number: int, _frame: FrameType | None) -> None:
        if stop is None and request.number is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        request.number = number
        if stop is not None:
            restore(enders)  # not SIGHUP: one that comes late must not end the process
            stop()

    for number in enders:
        signal.signal(number, ask)
    if reload is not None:
        signal.signal(signal.SIGHUP, lambda _number, _frame: reload())
    try:
        yield request
    finally:
        restore(numbers)
