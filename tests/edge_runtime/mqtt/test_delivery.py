from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.mqtt.broker import Broker, Will
from edge_runtime.mqtt.connection import WINDOW
from edge_runtime.mqtt.delivery import Delivery
from edge_runtime.mqtt.publisher import Publisher
from edge_runtime.mqtt.reason_codes import NOT_AUTHORISED, PACKET_TOO_LARGE, QUOTA_EXCEEDED
from edge_runtime.mqtt.spool.spool import Spool
from edge_runtime.pacing import Backoff
from tests.mosquitto import Mosquitto, Subscriber
from tests.waiting import wait_until

OK = 0


class FakeConnection:
    """Keeps the messages it was given until the test answers for them."""

    def __init__(self) -> None:
        self.open: dict[int, int] = {}  # message id -> seq
        self._mid = 0

    def publish(self, _topic: str, payload: bytes, *, qos: int) -> int:
        """Take a message."""
        assert qos == 1
        self._mid += 1
        self.open[self._mid] = json.loads(payload)["seq"]
        return self._mid

    def answer(self, delivery: Delivery, seq: int, reason: int = OK) -> None:
        """PUBACK of one event."""
        (mid,) = [mid for mid, open_ in self.open.items() if open_ == seq]
        del self.open[mid]
        delivery.acked(mid, reason)


class Setup:
    """A spool of `count` events, its delivery, a connection, and the faults."""

    def __init__(self, folder: Path, count: int) -> None:
        self.spool = Spool(folder / "s.sqlite", 10**6)
        self.spool.append_many([("t", {"n": n}) for n in range(count)])
        self.faults: dict[str, str | None] = {}
        self.delivery = Delivery(self.spool, self.faults.__setitem__)
        self.connection: Any = FakeConnection()

    def send(self) -> list[int]:
        """One step of the sender; the seqs that are on the way after it."""
        self.delivery.remove_confirmed()
        self.delivery.send(self.connection)
        return list(self.connection.open.values())


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """Seconds to add to time.monotonic."""
    added, monotonic = [0.0], time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: monotonic() + added[0])
    yield added


def test_after_a_refusal_one_at_a_time(tmp_path: Path, clock: list[float]) -> None:
    """Only what was on the way overtakes a refused event; then it goes alone until taken, then the window is full."""
    line = Setup(tmp_path, 60)
    line.delivery.begin()
    assert line.send() == list(range(1, WINDOW + 1))
    line.connection.answer(line.delivery, 1, QUOTA_EXCEEDED)
    assert "quota" in str(line.faults["broker_events"])
    for seq in range(2, WINDOW + 1):
        line.connection.answer(line.delivery, seq)
        assert 1 not in line.send()
    for _ in range(3):  # refused again and again: nothing else overtakes it
        clock[0] += 100
        assert line.send() == [1]
        line.connection.answer(line.delivery, 1, QUOTA_EXCEEDED)
        assert line.send() == []
    clock[0] += 100
    assert line.send() == [1]
    line.connection.answer(line.delivery, 1)
    assert line.faults["broker_events"] is None
    assert line.send() == list(range(WINDOW + 1, 2 * WINDOW + 1))
    line.spool.close()


def test_refusals_of_one_window_are_one_pause(tmp_path: Path, clock: list[float]) -> None:
    """A window of which every event is refused for a quota waits the first, short pause."""
    line = Setup(tmp_path, WINDOW)
    line.delivery.begin()
    line.send()
    for seq in range(1, WINDOW + 1):
        line.connection.answer(line.delivery, seq, QUOTA_EXCEEDED)
    clock[0] += 1.01
    assert line.send() == [1]
    line.spool.close()


def test_event_that_can_never_be_taken_is_passed_over(tmp_path: Path) -> None:
    """An event too large for the broker stays on the disk and is said; all others arrive; a new connection tries it."""
    line = Setup(tmp_path, 2)
    line.spool.append("t", {"large": "x" * 5000})
    line.spool.append("t", {"n": 3})
    line.delivery.begin(max_packet_bytes=2000)
    assert line.send() == [1, 2, 4]
    assert "1 of the events: they are too large (its limit is 2000 bytes)" in str(line.faults["broker_events.never"])
    line.connection.answer(line.delivery, 1)
    line.connection.answer(line.delivery, 2, PACKET_TOO_LARGE)  # a broker that does not say its limit beforehand
    line.connection.answer(line.delivery, 4)
    assert line.send() == [] and line.delivery.idle
    assert [spooled.seq for spooled in line.spool.waiting(0, 10)] == [2, 3]
    assert line.faults["broker_events"] is None
    line.delivery.begin()
    assert line.faults["broker_events.never"] is None
    assert line.send() == [2, 3]
    line.spool.close()


def test_disk_that_keeps_confirmed_events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While confirmed events cannot be removed it is said, none is sent twice by this process, and others go on."""
    line = Setup(tmp_path, 1)
    remove = line.spool.remove

    def full(_seqs: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(line.spool, "remove", full)
    line.delivery.begin()
    assert line.send() == [1]
    line.connection.answer(line.delivery, 1)
    assert line.send() == []
    assert "disk is full" in str(line.faults["spool.remove"])
    line.spool.append("t", {})
    line.delivery.begin()
    assert line.send() == [2] and not line.delivery.idle
    monkeypatch.setattr(line.spool, "remove", remove)
    line.connection.answer(line.delivery, 2)
    assert line.send() == [] and line.delivery.idle
    assert line.faults["spool.remove"] is None and len(line.spool) == 0
    line.spool.close()


@given(
    reasons=st.lists(st.sampled_from([OK, OK, OK, QUOTA_EXCEEDED, NOT_AUTHORISED, 0x83]), max_size=60), data=st.data()
)
@settings(max_examples=40)
def test_whatever_the_broker_says_all_arrive(
    tmp_path_factory: pytest.TempPathFactory, reasons: list[int], data: st.DataObject
) -> None:
    """Any mixture of answers, in any order, and lost connections: every event is taken in the end."""
    line = Setup(tmp_path_factory.mktemp("line"), 30)
    with closing(line.spool):  # also where Hypothesis gives an example up
        taken: set[int] = set()
        line.delivery.begin()
        for _ in range(200):
            on_the_way = line.send()
            if on_the_way:
                seq = data.draw(st.sampled_from(on_the_way)) if reasons else on_the_way[0]
                reason = reasons.pop() if reasons else OK
                line.connection.answer(line.delivery, seq, reason)
                taken |= {seq} if reason == OK else set()
            elif line.delivery.resume_at is not None:
                assert line.connection.open == {}
                line.delivery.begin()  # a new connection does not wait for the pause
            elif line.delivery.idle:
                break
        assert taken == set(range(1, 31)) and len(line.spool) == 0
        assert line.delivery.published == 30


def test_two_thousand_events_through_mosquitto(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """A spool of 2,000 events goes through a real broker in order, once each, and is empty afterwards."""
    mosquitto.start()
    spool = Spool(tmp_path / "s.sqlite", 10**6)
    publisher = Publisher(
        Broker("127.0.0.1", mosquitto.port, "sender"),
        spool,
        lambda: Will("l/status", b"{}", 0),
        Backoff(0.1, 0.1),
        lambda code, sentence: None,
    )
    with Subscriber(mosquitto.port, "l/#") as subscriber:
        publisher.start()
        spool.append_many([("l/defect", {"n": n}) for n in range(2000)])
        publisher.wake_up()
        found = subscriber.wait("defect", lambda all_: len(all_) >= 2000)
        assert [message.body["seq"] for message in found] == list(range(1, 2001))
        assert [message.body["n"] for message in found] == list(range(2000))
        wait_until(lambda: len(spool) == 0, "the spool to be empty")
        publisher.close("l/status", {"state": "stopped"}, 5.0)
    assert publisher.published == 2000
    spool.close()
