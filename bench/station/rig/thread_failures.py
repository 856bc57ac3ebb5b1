"""Refuses threads to station processes at random, as an operating system does that is short of them."""

from __future__ import annotations

import logging
import os
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_SHARE = "LATENTLINE_BENCH_THREAD_FAILURES"  # of the starts, 0 to 1; a variable of the environment
_LINE = "the bench refuses the thread"
_log = logging.getLogger(__name__)


@contextmanager
def thread_failures(share: float) -> Iterator[None]:
    """Within the block station processes that start get only some of their threads. share: of refused starts."""
    os.environ[_SHARE] = str(share)
    try:
        yield
    finally:
        del os.environ[_SHARE]


def refuse_threads() -> None:
    """In a station process: refuse the share of thread starts that the bench asks for, from now on."""
    share = float(os.environ.get(_SHARE, "0"))
    start = threading.Thread.start

    def start_or_refuse(thread: threading.Thread) -> None:
        if random.random() < share:
            _log.info("%s %s", _LINE, thread.name)
            raise RuntimeError("can't start new thread")
        start(thread)

    if share:
        threading.Thread.start = start_or_refuse  # type: ignore[method-assign,assignment]


def refused_threads(log: Path) -> int:
    """How many starts were refused, from the log of the stations."""
    return log.read_text().count(_LINE) if log.exists() else 0
