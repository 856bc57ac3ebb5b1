from __future__ import annotations

import os
import signal
import threading

import pytest

from edge_runtime.station.ending import end_in_time
from tests.edge_runtime.faults.running import descriptors, threads
from tests.waiting import wait_until


class _Station:
    """Counts what is asked of it."""

    def __init__(self) -> None:
        self.ending = threading.Event()
        self.stops = 0

    def stop(self) -> None:
        self.stops += 1
        self.ending.set()

    def reload(self) -> None:
        """Nothing to reload."""

    def abandon(self) -> None:
        raise AssertionError("no frame is in work")


@pytest.mark.parametrize("refused", [False, True])
def test_signal_stops_the_station_and_nothing_is_left(refused: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGTERM stops the station, also where the machine refuses the thread that would hurry it; afterwards there are
    as many threads and descriptors as before."""

    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    before, station = (threads(), descriptors()), _Station()
    if refused:
        monkeypatch.setattr(threading.Thread, "start", refuse)
    with end_in_time(station):
        os.kill(os.getpid(), signal.SIGTERM)
        wait_until(lambda: station.stops, "the stop")
    assert (threads(), descriptors()) == before
