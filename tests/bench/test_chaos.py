"""Killed stations and brokers lose nothing, and the books of the bench would show it if they did."""

import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from tests.mosquitto import Mosquitto

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "bench"))  # where the scripts of the bench find one another

from soak import Sample, summarise  # noqa: E402
from station_parts.account import Account, account  # noqa: E402
from station_parts.source import Journal  # noqa: E402
from station_parts.status_judge import StatusJudge  # noqa: E402


def _bench(script: str, *arguments: str) -> tuple[int, dict[str, Any]]:
    command = [sys.executable, f"bench/{script}", *arguments, "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, env={"PYTHONPATH": "."})
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def test_killed_stations_and_brokers_lose_nothing(mosquitto: Mosquitto) -> None:
    """Three kills of each, one of both at once: each event arrives, `seq` has no gap, no status lies for long."""
    code, figures = _bench("chaos.py", "--kills", "3", "--frames", "300")
    assert code == 0
    assert figures.pop("seconds") > 0
    assert figures.pop("duplicates") >= 0
    assert figures.pop("written") == figures.pop("arrived") >= 200  # two of three frames show a defect
    kills = {"station": 3, "broker": 3, "both": 1}
    assert figures == {"lost": 0, "seq_gaps": 0, "status_violations": 0, "kills": kills}


def test_soak_counts_a_station(mosquitto: Mosquitto) -> None:
    """A short soak finds no missing event, and samples of memory, threads and descriptors."""
    code, figures = _bench("soak.py", "--minutes", "0.04", "--rate", "50", "--restarts", "1")
    assert code == 0 and figures["missing"] == 0 and figures["events"] > 0
    assert len(figures["samples"]) > 20
    assert figures["rss_last"] > 10 and figures["threads"][1] >= 3 and figures["descriptors"][1] >= 5


def test_slope_is_per_hour_and_its_interval_covers_the_truth() -> None:
    """30 minutes that grow by 2 MiB an hour, after a start that grows fast and does not count."""
    ripple = [0.3, -0.2, 0.1, -0.2]
    samples = [
        Sample(s, 90 + 2 * s / 3600 + ripple[i % 4] - max(0, 300 - s), 5, 10 + i % 3, 1.0)
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
        (3, _events((1, 1), (2, 2), (3, 4)), Account(3, 3, 0, 0, 0)),
        (3, _events((1, 1), (2, 2), (2, 2), (3, 4)), Account(3, 3, 0, 1, 0)),
        (3, _events((1, 1), (2, 2)), Account(3, 2, 2, 0, 0)),  # a number and the verdict on a frame
        (4, _events((1, 1), (3, 2), (4, 4)), Account(4, 3, 1, 0, 1)),
        (2, _events((1, 1), (2, 2)), Account(2, 2, 1, 0, 0)),  # the spool forgot that there was a third
        (3, _events((1, 1), (2, 2), (2, 4), identities="abc"), Account(3, 3, 1, 0, 1)),
        (4, _events((1, 1), (2, 2), (3, 2), (4, 4)), Account(4, 4, 0, 0, 0)),  # inspected twice is allowed
        (0, [], Account(0, 0, 3, 0, 0)),
    ],
)
def test_books_show_what_is_missing(written: int, deliveries: list[dict[str, Any]], expected: Account) -> None:
    """Events that vanish before or behind the spool, doubles, holes and shared numbers are each counted."""
    assert account(written, [1, 2, 4], deliveries) == expected


def test_journal_goes_on_after_the_last_whole_line(tmp_path: Path) -> None:
    """A line that a kill cut short is a frame that is not done."""
    journal = Journal(tmp_path / "journal")
    assert journal.following == 0
    journal.done(0)
    journal.done(11)
    with (tmp_path / "journal").open("a") as file:
        file.write("1")
    journal = Journal(tmp_path / "journal")
    assert journal.following == 12
    journal.done(12)
    assert Journal.read(tmp_path / "journal") == [0, 11, 12]


def test_status_that_lies_too_long_is_a_violation() -> None:
    """Alive on paper and dead in fact, or the other way round: once for each stretch beyond the limit."""
    judge = StatusJudge(limit=5.0)
    judge.process(alive=True, at=0.0)
    judge.heard("online", at=1.0)
    judge.process(alive=False, at=10.0)
    judge.heard("offline", at=14.0)
    judge.process(alive=True, at=20.0)
    judge.heard("degraded", at=24.0)
    assert not judge.violations and judge.longest == 4.0
    judge.process(alive=False, at=30.0)
    judge.heard("online", at=36.0)
    judge.heard("online", at=38.0)
    assert len(judge.violations) == 1
    judge.heard("offline", at=39.0)
    judge.process(alive=True, at=40.0)
    judge.finish(at=46.0)
    assert len(judge.violations) == 2 and judge.longest == 9.0


def test_status_is_not_judged_without_a_broker() -> None:
    """While nobody can ask, nothing is wrong; the time counts from the first answer after that."""
    judge = StatusJudge(limit=5.0)
    judge.heard("online", at=0.0)
    judge.heard(None, at=4.0)
    judge.heard("online", at=60.0)
    judge.heard("offline", at=64.0)
    assert not judge.violations
