"""SIGTERM and Ctrl-C end a station within its promise, whatever a library is at just then."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from typing import Protocol

from latentline.base.signals import stop_on_signals

PROMISE_SECONDS = 10.0  # from the signal to the end of the process
_FRAME_SECONDS = 5.0  # of them, for the frame in work
_ENDERS = (signal.SIGTERM, signal.SIGINT)

_log = logging.getLogger(__name__)


class Endable(Protocol):
    """What ends a station; the calls come from another thread than `run`."""

    ending: threading.Event  # set when no frame is in work any more

    def stop(self) -> None:
        """Stop after the frame in work."""
        ...

    def reload(self) -> None:
        """Read the configuration again after this frame."""
        ...

    def abandon(self) -> None:
        """End now, without the frame in work, which may hang."""
        ...


@contextmanager
def end_in_time(station: Endable) -> Iterator[None]:
    """Within the block, which runs `station`, SIGTERM and SIGINT end it in good order, SIGHUP reloads it.

    Python runs handlers of signals only when the main thread is back from a library, and a frame may take long there.
    So a thread learns of the signal by itself. When the frame in work is not done after five seconds, the thread ends
    the station without it, and then the process, with exit code 0. A second signal ends the process at once. Outside
    the main thread nothing changes: Python's rule.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    signals, wake_up = os.pipe()
    os.set_blocking(wake_up, False)
    over = threading.Event()
    thread = threading.Thread(target=_watch, args=(signals, station, over), name="signals", daemon=True)
    before = signal.set_wakeup_fd(wake_up, warn_on_full_buffer=False)
    watched = _starts(thread)
    if not watched:
        _log.warning(
            "no thread can be started for signals, so SIGTERM waits for the frame in work, however long it takes"
        )
    try:
        with stop_on_signals(station.stop, station.reload):
            yield
    finally:
        signal.set_wakeup_fd(before)
        over.set()
        os.close(wake_up)  # ends the wait for a signal
        if watched:
            thread.join()
        else:
            os.close(signals)


def _watch(signals: int, station: Endable, over: threading.Event) -> None:
    """Wait for a signal that asks for an end, and see to it that the end comes."""
    with os.fdopen(signals, "rb", buffering=0) as numbers:
        if (first := _next_ender(numbers)) is None:
            return
        deadline = time.monotonic() + PROMISE_SECONDS
        second = threading.Thread(target=_end_at_once, args=(numbers,), name="second signal", daemon=True)
        has_second = _starts(second)
        station.stop()
        if station.ending.wait(_FRAME_SECONDS):
            if not over.wait(deadline - time.monotonic()):
                _exit(0, f"the station has not ended {PROMISE_SECONDS:g} s after {first.name}: its process ends")
        else:
            _log.warning("the frame in work is not done %g s after %s: it is left", _FRAME_SECONDS, first.name)
            ender = threading.Thread(target=station.abandon, name="ender", daemon=True)
            if _starts(ender):
                ender.join(deadline - time.monotonic())
            _exit(0)
        if has_second:
            second.join()


def _starts(thread: threading.Thread) -> bool:
    """Start the thread. False where the machine has none to spare: the end must not depend on it."""
    try:
        thread.start()
    except RuntimeError:
        return False
    return True


def _end_at_once(numbers: FileIO) -> None:
    second = _next_ender(numbers)
    if second is not None:
        _exit(128 + second)


def _next_ender(numbers: FileIO) -> signal.Signals | None:
    """The next signal that asks for an end; None when the block is over."""
    while number := numbers.read(1):
        if number[0] in _ENDERS:
            return signal.Signals(number[0])
    return None


def _exit(code: int, sentence: str | None = None) -> None:
    if sentence is not None:
        _log.warning("%s", sentence)
    logging.shutdown()
    os._exit(code)
