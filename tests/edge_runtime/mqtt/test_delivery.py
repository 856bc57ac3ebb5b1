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
        """The PUBACK of one event."""
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
        """One step of the sender. Returns the seqs in flight after it."""
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
    """Only events in flight overtake a refused one. It is sent alone until accepted; then the window is filled."""
    setup = Setup(tmp_path, 60)
    setup.delivery.begin()
    assert setup.send() == list(range(1, WINDOW + 1))
    setup.connection.answer(setup.delivery, 1, QUOTA_EXCEEDED)
    assert "quota" in str(setup.faults["broker_events"])
    for seq in range(2, WINDOW + 1):
        setup.connection.answer(setup.delivery, seq)
        assert 1 not in setup.send()
    for _ in range(3):  # while it is refused, no other event is sent
        clock[0] += 100
        assert setup.send() == [1]
        setup.connection.answer(setup.delivery, 1, QUOTA_EXCEEDED)
        assert setup.send() == []
    clock[0] += 100
    assert setup.send() == [1]
    setup.connection.answer(setup.delivery, 1)
    assert setup.faults["broker_events"] is None
    assert setup.send() == list(range(WINDOW + 1, 2 * WINDOW + 1))
    setup.spool.close()


def test_refusals_of_one_window_cause_one_pause(tmp_path: Path, clock: list[float]) -> None:
    """If a quota refuses every event of a window, the pause is the first, short one."""
    setup = Setup(tmp_path, WINDOW)
    setup.delivery.begin()
    setup.send()
    for seq in range(1, WINDOW + 1):
        setup.connection.answer(setup.delivery, seq, QUOTA_EXCEEDED)
    clock[0] += 1.01
    assert setup.send() == [1]
    setup.spool.close()


def test_undeliverable_event_is_a_dead_letter(tmp_path: Path) -> None:
    """An event too large for the broker is a fault and leaves the queue, whether the broker announced its limit or not;
    the others are sent."""
    setup = Setup(tmp_path, 2)
    setup.spool.append("t", {"large": "x" * 5000})
    setup.spool.append("t", {"n": 3})
    setup.delivery.begin(max_packet_bytes=2000)
    assert setup.send() == [1, 2, 4]
    assert "event 3 can never be delivered" in str(setup.faults["broker_events.never"])
    setup.connection.answer(setup.delivery, 1)
    setup.connection.answer(setup.delivery, 2, PACKET_TOO_LARGE)  # a broker that does not announce its limit
    setup.connection.answer(setup.delivery, 4)
    assert setup.send() == [] and setup.delivery.idle
    assert len(setup.spool) == 0 and setup.spool.dead_letters == 2
    assert setup.faults["broker_events"] is None
    setup.delivery.begin()
    assert "2 events can never be delivered" in str(setup.faults["broker_events.never"]) and setup.send() == []
    setup.spool.close()


def test_refusal_without_a_telling_reason_ends(tmp_path: Path, clock: list[float]) -> None:
    """An event that the broker refuses five times for no reason is a dead letter; the next one is sent."""
    setup = Setup(tmp_path, 2)
    setup.delivery.begin()
    assert setup.send() == [1, 2]
    setup.connection.answer(setup.delivery, 1, 0x83)
    setup.connection.answer(setup.delivery, 2)
    for _ in range(4):
        clock[0] += 100
        assert setup.send() == [1]
        setup.connection.answer(setup.delivery, 1, 0x83)
    clock[0] += 100
    assert setup.send() == [] and setup.delivery.idle and setup.spool.dead_letters == 1
    setup.spool.close()


def test_network_that_cuts_connections_makes_no_dead_letter(tmp_path: Path, clock: list[float]) -> None:
    """However often a connection ends with one event in flight, the event is sent again; only on a connection that has
    lasted, or on which another event was confirmed, does the end speak against it."""
    setup = Setup(tmp_path, 1)
    setup.delivery.begin()
    assert setup.send() == [1]
    for _ in range(10):
        assert setup.delivery.ended(closed_by_broker=True, reason=0) == bool(setup.connection.open)
        setup.connection = FakeConnection()
        setup.delivery.begin()
        assert setup.send() == []
    assert setup.spool.dead_letters == 0
    setup.spool.append("t", {})
    assert setup.send() == [2]  # the others go first
    setup.connection.answer(setup.delivery, 2)
    assert setup.send() == [1]
    setup.connection.answer(setup.delivery, 1)
    assert setup.send() == [] and setup.delivery.idle
    setup.spool.close()


def test_suspect_that_became_too_large(tmp_path: Path, clock: list[float]) -> None:
    """A suspect that the next connection can never take is a dead letter at once, and the others go on."""
    setup = Setup(tmp_path, 0)
    setup.spool.append("t", {"large": "x" * 5000})
    setup.delivery.begin()
    assert setup.send() == [1]
    setup.delivery.ended(closed_by_broker=True, reason=0)
    setup.connection = FakeConnection()
    setup.delivery.begin(max_packet_bytes=2000)
    clock[0] += 2
    setup.spool.append("t", {})
    setup.send()
    assert setup.spool.dead_letters == 1 and setup.send() == [2]
    setup.delivery.ended(closed_by_broker=True, reason=0)
    setup.spool.close()


def test_forbidden_topic_holds_up_no_other(tmp_path: Path, clock: list[float]) -> None:
    """Events on a topic that the user may not publish on wait and are tried every minute; the others are sent, and the
    fault lasts until one of them is accepted."""
    setup = Setup(tmp_path, 1)
    setup.spool.append_many([("forbidden", {}), ("forbidden", {}), ("t", {})])
    setup.delivery.begin()
    assert setup.send() == [1, 2, 3, 4]
    for seq, reason in ((2, NOT_AUTHORISED), (1, OK), (3, NOT_AUTHORISED), (4, OK)):
        setup.connection.answer(setup.delivery, seq, reason)
    assert "may not publish on forbidden" in str(setup.faults["broker_events"])
    assert setup.send() == [] and len(setup.spool) == 2 and not setup.delivery.idle
    setup.spool.append("t", {})
    assert setup.send() == [5]
    setup.connection.answer(setup.delivery, 5)
    assert setup.faults["broker_events"] is not None
    clock[0] += 61
    assert setup.send() == [2]
    setup.connection.answer(setup.delivery, 2)
    assert setup.faults["broker_events"] is None and setup.send() == [3]
    setup.spool.close()


def test_disk_that_keeps_confirmed_events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Confirmed events that cannot be removed are a fault, and are not sent again; others are sent."""
    setup = Setup(tmp_path, 1)
    remove = setup.spool.remove

    def full(_seqs: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(setup.spool, "remove", full)
    setup.delivery.begin()
    assert setup.send() == [1]
    setup.connection.answer(setup.delivery, 1)
    assert setup.send() == []
    assert "disk is full" in str(setup.faults["spool.remove"])
    setup.spool.append("t", {})
    setup.delivery.begin()
    assert setup.send() == [2] and not setup.delivery.idle
    monkeypatch.setattr(setup.spool, "remove", remove)
    setup.connection.answer(setup.delivery, 2)
    assert setup.send() == [] and setup.delivery.idle
    assert setup.faults["spool.remove"] is None and len(setup.spool) == 0
    setup.spool.close()


@given(reasons=st.lists(st.sampled_from([OK, OK, OK, QUOTA_EXCEEDED, NOT_AUTHORISED]), max_size=60), data=st.data())
@settings(max_examples=40)
def test_any_answers_of_the_broker_lose_no_event(
    tmp_path_factory: pytest.TempPathFactory, reasons: list[int], data: st.DataObject
) -> None:
    """With any answers, in any order, and lost connections, every event is accepted in the end."""
    setup = Setup(tmp_path_factory.mktemp("spool"), 30)
    with closing(setup.spool):  # also if Hypothesis discards the example
        taken: set[int] = set()
        setup.delivery.begin()
        for _ in range(200):
            in_flight = setup.send()
            if in_flight:
                seq = data.draw(st.sampled_from(in_flight)) if reasons else in_flight[0]
                reason = reasons.pop() if reasons else OK
                setup.connection.answer(setup.delivery, seq, reason)
                taken |= {seq} if reason == OK else set()
            elif setup.delivery.idle:
                break
            else:
                assert setup.connection.open == {}
                setup.delivery.begin()  # a new connection does not wait for the pause
        assert taken == set(range(1, 31)) and len(setup.spool) == 0
        assert setup.delivery.published == 30


def test_two_thousand_events_through_mosquitto(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """A real broker gets 2,000 events in order, once each, and the spool is empty afterwards."""
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
