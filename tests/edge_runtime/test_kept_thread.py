"""A thread that must not be missing is started again, however it went missing."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from edge_runtime.kept_thread import KeptThread
from edge_runtime.supervision.thread_watch import ThreadWatch
from tests.threads import refused
from tests.waiting import wait_until


class _Bench:
    """A kept thread, watched; the test sets the clock."""

    def __init__(self, work: Callable[[], None]) -> None:
        self.now = 0.0
        self.faults: dict[str, str | None] = {}
        self.ends: list[str] = []
        self.thread = KeptThread("worker", work, lambda: self.now)
        self.watch = ThreadWatch(self.faults.__setitem__, self.ends.append)
        self.watch.add(self.thread)


def _dead(bench: _Bench) -> None:
    wait_until(lambda: not bench.thread.alive, "the death of the thread")


def test_a_thread_that_cannot_be_started_is_named_and_started_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """The start raises nothing, the fault names thread and reason, and it is over once the thread runs."""
    ran = threading.Event()
    bench = _Bench(ran.set)
    with refused(monkeypatch, "worker"):
        bench.thread.start()
        bench.watch.check()
        sentence = "the thread 'worker' cannot be started (can't start new thread); the station tries again"
        assert bench.faults == {"threads": sentence} and not bench.thread.alive
    bench.watch.check()
    assert ran.wait(10) and bench.faults == {"threads": None}


@pytest.mark.parametrize("error", [ZeroDivisionError("oh"), SystemExit(3), MemoryError("oh")])
def test_a_thread_that_dies_is_named_and_started_again(error: BaseException) -> None:
    """Whatever killed it, SystemExit too; a minute later the fault is over."""
    again, runs = threading.Event(), []

    def work() -> None:
        runs.append(1)
        if len(runs) == 1:
            raise error
        again.wait(30)

    bench = _Bench(work)
    bench.thread.start()
    _dead(bench)
    bench.watch.check()
    bench.watch.check()
    assert (
        bench.faults["threads"] == f"the thread 'worker' died ({type(error).__name__}: {error}) and was started again"
    )
    assert len(runs) == 2 and bench.thread.alive and bench.ends == []
    bench.now = 61.0
    bench.watch.check()
    assert bench.faults["threads"] is None
    again.set()


def test_a_thread_that_has_done_its_work_stays_ended() -> None:
    """Nothing starts it again, and it is no fault."""
    runs: list[int] = []
    bench = _Bench(lambda: runs.append(1))
    bench.thread.start()
    _dead(bench)
    bench.watch.check()
    assert runs == [1] and bench.faults == {} and not bench.thread.alive


def test_a_thread_that_was_not_started_is_left_alone() -> None:
    """Before `start` the watch does nothing with it."""
    bench = _Bench(lambda: None)
    bench.watch.check()
    assert bench.faults == {} and not bench.thread.alive


def test_a_minute_without_a_thread_is_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """When it cannot be started for more than a minute the station is told to end, once, and why."""
    bench = _Bench(lambda: None)
    with refused(monkeypatch, "worker"):
        bench.thread.start()
        bench.now = 60.0
        bench.watch.check()
        assert bench.ends == [] and not bench.watch.hopeless
        bench.now = 61.0
        bench.watch.check()
        bench.watch.check()
    assert bench.watch.hopeless
    assert bench.ends == ["the thread 'worker' cannot be kept alive; the station ends to be restarted"]


def test_a_thread_that_dies_again_and_again_is_the_end() -> None:
    """Five deaths in a minute cannot be put right by a sixth thread."""

    def work() -> None:
        raise ZeroDivisionError

    bench = _Bench(work)
    bench.thread.start()
    for number in range(5):
        _dead(bench)
        assert bench.ends == [], number
        bench.now += 1
        bench.watch.check()
    assert len(bench.ends) == 1 and bench.watch.hopeless
    _dead(bench)
