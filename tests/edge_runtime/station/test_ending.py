from __future__ import annotations

import subprocess
import sys

import pytest

from tests.paths import ROOT

_PROGRAM = """
import os, signal, sys, threading
from edge_runtime.station.ending import end_in_time

class Station:
    ending, stops = threading.Event(), 0
    def stop(self):
        self.stops += 1
        self.ending.set()
    def reload(self): pass
    def abandon(self): raise AssertionError("no frame is in work")

def refuse(thread):
    raise RuntimeError("can't start new thread")

def state():
    return sorted(thread.name for thread in threading.enumerate()), len(os.listdir("/proc/self/fd"))

before, station = state(), Station()
if sys.argv[1] == "refused":
    threading.Thread.start = refuse
with end_in_time(station):
    os.kill(os.getpid(), signal.SIGTERM)
    while not station.stops:
        pass
assert state() == before, (state(), before)
print("ended")
"""


@pytest.mark.parametrize("threads", ["given", "refused"])
def test_signal_stops_the_station_and_nothing_is_left(threads: str) -> None:
    """SIGTERM stops the station, also where the machine refuses the thread that would hurry it; afterwards there are
    as many threads and descriptors as before."""
    command = [sys.executable, "-c", _PROGRAM, threads]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30)
    assert done.stdout == "ended\n", done.stderr
    assert ("no thread can be started for signals" in done.stderr) == (threads == "refused")
