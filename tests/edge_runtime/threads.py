"""Threads that cannot be started."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest


class Refusal:
    """refusals: how often a start was refused."""

    def __init__(self) -> None:
        self.refusals = 0


@contextmanager
def refused(monkeypatch: pytest.MonkeyPatch, name: str, times: int | None = None) -> Iterator[Refusal]:
    """Within the block threads called `name` cannot be started, `times` times or (None) never."""
    real, refusal = threading.Thread.start, Refusal()

    def start(thread: threading.Thread) -> None:
        if thread.name == name and (times is None or refusal.refusals < times):
            refusal.refusals += 1
            raise RuntimeError("can't start new thread")
        real(thread)

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        yield refusal
