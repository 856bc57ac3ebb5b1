"""Threads that cannot be started."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest


@contextmanager
def refused(monkeypatch: pytest.MonkeyPatch, *names: str, times: int | None = None) -> Iterator[Counter[str]]:
    """Within the block threads with these names cannot be started, `times` times each or (None) never.

    Gives the number of refusals by name.
    """
    real, refusals = threading.Thread.start, Counter[str]()

    def start(thread: threading.Thread) -> None:
        if thread.name in names and (times is None or refusals[thread.name] < times):
            refusals[thread.name] += 1
            raise RuntimeError("can't start new thread")
        real(thread)

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        yield refusals
