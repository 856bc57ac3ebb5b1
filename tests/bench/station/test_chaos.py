"""Killed stations and brokers lose no event, and the benches would show a lost one."""

import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from bench.station.rig.deliveries import DeliveryCounts, count_deliveries
from bench.station.rig.source import FrameLog
from bench.station.rig.status_check import StatusChecker
from bench.station.soak import ProcessSample, summarise
from tests.mosquitto import Mosquitto
from tests.paths import ROOT


def _bench(question: str, *options: str) -> tuple[int, dict[str, Any]]:
    command = [sys.executable, "-m", f"bench.station.{question}", *options, "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def test_killed_stations_and_brokers_lose_nothing(mosquitto: Mosquitto) -> None:
    """Kills of each, one of both at once, a flipped bit, a removed file, a poison event, and threads that cannot be
    started: each other event arrives, `seq` has no gap, everything is said, and no status is wrong for long."""
    harm = ("--flips", "1", "--removals", "1", "--poison", "1", "--repaired", "--thread-failures", "0.2")
    code, figures = _bench("chaos", "--kills", "2", *harm, "--frames", "300")
    assert code == 0
    assert figures.pop("seconds") > 0 and figures.pop("thread_failures") > 0
    assert figures.pop("duplicates") >= 0
    assert figures.pop("removal_said_after") < 1 and figures.pop("removals_under_open_spool") == 1
    assert figures.pop("written") == figures.pop("arrived") + 1 >= 201  # two of three frames show a defect
    assert figures["kills"].pop("broker") in (2, 3)  # it is away during half of the flips
    kills, harms = {"station": 4, "both": 1}, {"flips": 1, "removals": 1, "poison": 1}
    nothing = {"lost": 0, "skipped": 0, "unsaid": 0, "seq_gaps": 0, "status_violations": 0}
    assert figures == {**nothing, "dead": 1, "kills": kills, "harms": harms}


def test_soak_counts_a_station(mosquitto: Mosquitto) -> None:
    """A short soak misses no event, and samples memory, threads and descriptors."""
    code, figures = _bench("soak", "--minutes", "0.04", "--rate", "50", "--restarts", "1")
    assert code == 0 and figures["missing"] == 0 and figures["events"] > 0
    assert len(figures["samples"]) > 20
    assert figures["rss_last"] > 10 and figures["threads"][1] >= 3 and figures["descriptors"][1] >= 5


def test_slope_is_per_hour_and_its_interval_covers_the_truth() -> None:
    """30 minutes that grow by 2 MiB an hour, after a start that grows fast and does not count."""
    ripple = [0.3, -0.2, 0.1, -0.2]
    samples = [
        ProcessSample(s, 90 + 2 * s / 3600 + ripple[i % 4] - max(0, 300 - s), 5, 10 + i % 3, 1.0)
        for i, s in enumerate(range(0, 1800, 5))
    ]
    figures = summarise(samples)
    low, high = figures["rss_slope_interval"]
    assert low <= 2 <= high and high - low < 0.5
    assert figures["descriptors"] == [10, 12]


def _events(*pairs: tuple[int, int], identities: Iterable[str] = ()) -> list[dict[str, Any]]:
    """Deliveries of (seq, frame)."""
    names = list(identities) or [f"event {seq}" for seq, _ in pairs]
    return [
        {"event_id": name, "seq": seq, "frame": {"source": str(frame)}}
        for (seq, frame), name in zip(pairs, names, strict=True)
    ]


@pytest.mark.parametrize(
    ("written", "deliveries", "expected"),
    [
        (3, _events((1, 1), (2, 2), (3, 4)), DeliveryCounts(3, 3, 0, 0, 0)),
        (3, _events((1, 1), (2, 2), (2, 2), (3, 4)), DeliveryCounts(3, 3, 0, 1, 0)),
        (3, _events((1, 1), (2, 2)), DeliveryCounts(3, 2, 2, 0, 0)),  # a number, and a frame with a defect
        (4, _events((1, 1), (3, 2), (4, 4)), DeliveryCounts(4, 3, 1, 0, 1)),
        (2, _events((1, 1), (2, 2)), DeliveryCounts(2, 2, 1, 0, 0)),  # the spool forgot that there was a third
        (3, _events((1, 1), (2, 2), (2, 4), identities="abc"), DeliveryCounts(3, 3, 1, 0, 1)),
        (4, _events((1, 1), (2, 2), (3, 2), (4, 4)), DeliveryCounts(4, 4, 0, 0, 0)),  # inspected twice is allowed
        (0, [], DeliveryCounts(0, 0, 3, 0, 0)),
    ],
)
def test_counts_show_what_is_missing(written: int, deliveries: list[dict[str, Any]], expected: DeliveryCounts) -> None:
    """Events lost before or after the spool, duplicates, gaps and shared numbers are each counted."""
    assert count_deliveries(written, [1, 2, 4], deliveries) == expected


def test_frame_log_continues_after_the_last_whole_line(tmp_path: Path) -> None:
    """A line that a kill cut short is a frame that was not inspected."""
    log = FrameLog(tmp_path / "frames.log")
    assert log.next_number == 0
    log.add(0)
    log.add(11)
    with (tmp_path / "frames.log").open("a") as file:
        file.write("1")
    log = FrameLog(tmp_path / "frames.log")
    assert log.next_number == 12
    log.add(12)
    assert FrameLog.read(tmp_path / "frames.log") == [0, 11, 12]
    assert FrameLog.count(tmp_path / "frames.log") == 3


def test_status_that_is_wrong_for_too_long_is_a_violation() -> None:
    """`online` of a dead process, or `offline` of one that is alive: one violation each time it exceeds the limit."""
    checker = StatusChecker(limit=5.0)
    checker.process_changed(alive=True, at=0.0)
    checker.status_received("online", at=1.0)
    checker.process_changed(alive=False, at=10.0)
    checker.status_received("offline", at=14.0)
    checker.process_changed(alive=True, at=20.0)
    checker.status_received("degraded", at=24.0)
    assert not checker.violations and checker.longest == 4.0
    checker.process_changed(alive=False, at=30.0)
    checker.status_received("online", at=36.0)
    checker.status_received("online", at=38.0)
    assert len(checker.violations) == 1
    checker.status_received("offline", at=39.0)
    checker.process_changed(alive=True, at=40.0)
    checker.finish(at=46.0)
    assert len(checker.violations) == 2 and checker.longest == 9.0


def test_status_is_not_checked_without_a_broker() -> None:
    """Without a connection no status is wrong; the time starts with the first status after that."""
    checker = StatusChecker(limit=5.0)
    checker.status_received("online", at=0.0)
    checker.status_received(None, at=4.0)
    checker.status_received("online", at=60.0)
    checker.status_received("offline", at=64.0)
    assert not checker.violations
