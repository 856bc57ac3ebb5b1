from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_runtime.backoff import Backoff
from edge_runtime.mqtt.connection import WINDOW, Broker, Will
from edge_runtime.mqtt.events import encode
from edge_runtime.mqtt.publisher import Publisher
from edge_runtime.mqtt.spool import Spool
from latentline.errors import BrokerError
from tests.mosquitto import Mosquitto, Received, Subscriber
from tests.waiting import wait_until

STATUS, DEFECT = "l/s/v1/status", "l/s/v1/cam/top/defect"


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    """An empty spool."""
    spool = Spool(tmp_path / "s.sqlite", 10_000)
    yield spool
    spool.close()


class Sender:
    """A publisher on `spool`, and the faults it reported."""

    def __init__(self, spool: Spool, port: int, user: str | None = None, password: str | None = None) -> None:
        self.faults: dict[str, str | None] = {}
        self._spool = spool
        broker = Broker("127.0.0.1", port, "sender", user, password, keep_alive=5)
        self.publisher = Publisher(broker, spool, self._will, Backoff(0.05, 0.1), self.faults.__setitem__)

    def append(self, number: int) -> None:
        """Spool one event, as the station does."""
        self._spool.append(DEFECT, {"number": number})
        self.publisher.appended()

    def close(self, timeout: float = 10.0) -> None:
        """Drain and leave."""
        self.publisher.close(STATUS, {"state": "stopped"}, timeout)

    @staticmethod
    def _will() -> Will:
        return Will(STATUS, encode({"state": "offline"}), 0)


def _numbers(messages: list[Received]) -> list[int]:
    return [message.body["number"] for message in messages]


def test_events_arrive_in_order_and_leave_the_disk(mosquitto: Mosquitto, spool: Spool) -> None:
    """More events than fit the window arrive once each, in order, not replayed; afterwards the spool is empty."""
    mosquitto.start()
    sender = Sender(spool, mosquitto.port)
    with Subscriber(mosquitto.port) as subscriber:
        sender.publisher.start()
        sender.publisher.wait_first_try(10)
        wait_until(lambda: sender.publisher.connections, "the connection")
        for number in range(5 * WINDOW):
            sender.append(number)
        sender.close()
        found = subscriber.wait("defect", lambda all_: len(all_) >= 5 * WINDOW)
        assert _numbers(found) == list(range(5 * WINDOW))
        assert [message.body["seq"] for message in found] == list(range(1, 5 * WINDOW + 1))
        assert not any(message.body["replayed"] for message in found)
        assert subscriber.wait_state("stopped")
    assert len(spool) == 0 and sender.publisher.published == 5 * WINDOW


def test_absent_broker_gets_everything_later(mosquitto: Mosquitto, spool: Spool) -> None:
    """Without a broker the publisher starts and keeps; when one comes, all events arrive in order as replayed."""
    mosquitto.start()
    with Subscriber(mosquitto.port) as subscriber:
        mosquitto.stop()
        sender = Sender(spool, mosquitto.port)
        sender.publisher.retain(STATUS, {"state": "online"})
        sender.publisher.start()
        sender.publisher.wait_first_try(10)
        for number in range(3 * WINDOW):
            sender.append(number)
        wait_until(lambda: sender.faults.get("broker"), "the fault")
        mosquitto.start()
        found = subscriber.wait("defect", lambda all_: len(all_) == 3 * WINDOW)
        assert _numbers(found) == list(range(3 * WINDOW))
        assert all(message.body["replayed"] for message in found)
        assert sender.faults["broker"] is None
        assert subscriber.wait_state("online")
        sender.append(3 * WINDOW)
        found = subscriber.wait("defect", lambda all_: len(all_) > 3 * WINDOW)
        assert found[-1].body["replayed"] is False
        sender.close()


def test_earlier_boot_is_replayed(mosquitto: Mosquitto, spool: Spool) -> None:
    """What an earlier process left in the spool is sent first, marked as replayed."""
    for number in range(3):
        spool.append(DEFECT, {"number": number})
    mosquitto.start()
    with Subscriber(mosquitto.port) as subscriber:
        sender = Sender(spool, mosquitto.port)
        sender.publisher.start()
        found = subscriber.wait("defect", lambda all_: len(all_) == 3)
        sender.close()
        assert _numbers(found) == [0, 1, 2] and all(message.body["replayed"] for message in found)


def test_broker_restart_loses_no_event(mosquitto: Mosquitto, spool: Spool) -> None:
    """The broker is stopped and started while a producer writes: the subscriber gets every event at least once."""
    mosquitto.start()
    with Subscriber(mosquitto.port) as subscriber:
        sender = Sender(spool, mosquitto.port)
        sender.publisher.start()
        sender.publisher.wait_first_try(10)
        stopping = threading.Event()

        def produce() -> None:
            for number in range(300):
                if number == 150:
                    stopping.set()
                sender.append(number)

        producer = threading.Thread(target=produce)
        producer.start()
        stopping.wait(20)
        mosquitto.stop()
        wait_until(lambda: sender.faults.get("broker"), "the fault")
        producer.join(20)
        mosquitto.start()
        found = subscriber.wait("defect", lambda all_: len({message.body["seq"] for message in all_}) == 300)
        assert {(message.body["seq"], message.body["number"]) for message in found} == {
            (number + 1, number) for number in range(300)
        }
        sender.close()
    assert len(spool) == 0


def test_unconfirmed_events_stay(mosquitto: Mosquitto, spool: Spool) -> None:
    """Closing without a broker is quick, and keeps every event on the disk."""
    sender = Sender(spool, mosquitto.port)
    sender.publisher.start()
    sender.publisher.wait_first_try(10)
    sender.append(0)
    sender.close()
    assert len(spool) == 1


def test_wrong_password_is_refused_at_the_first_connection(mosquitto: Mosquitto, spool: Spool) -> None:
    """The first connection with a wrong password is an error that names broker and user, not the password."""
    mosquitto.add_user("line", "right")
    mosquitto.start()
    sender = Sender(spool, mosquitto.port, "line", "wrong-password")
    sender.publisher.start()
    with pytest.raises(BrokerError, match=r"refuses the user name or password.*'line'") as caught:
        sender.publisher.wait_first_try(10)
    assert "wrong-password" not in str(caught.value)
    sender.close()


def test_later_refusal_is_a_fault_and_is_retried(mosquitto: Mosquitto, spool: Spool) -> None:
    """A broker that refuses the password after a first connection is reported, and tried again until it accepts."""
    mosquitto.add_user("line", "right")
    mosquitto.start()
    sender = Sender(spool, mosquitto.port, "line", "right")
    sender.publisher.start()
    sender.publisher.wait_first_try(10)
    mosquitto.stop()
    mosquitto.add_user("line", "changed")
    mosquitto.start()
    wait_until(lambda: "password" in (sender.faults.get("broker") or ""), "the refusal")
    sender.append(0)
    mosquitto.stop()
    mosquitto.add_user("line", "right")
    mosquitto.start()
    wait_until(lambda: len(spool) == 0, "the event to go out")
    sender.close()


def test_event_that_the_broker_refuses_is_kept(mosquitto: Mosquitto, spool: Spool) -> None:
    """A PUBACK that says `not authorised` is a named fault, and the event stays on the disk."""
    mosquitto.add_user("line", "right")
    mosquitto.allow("user line\ntopic write l/s/v1/status\n")
    mosquitto.start()
    sender = Sender(spool, mosquitto.port, "line", "right")
    sender.publisher.start()
    sender.publisher.wait_first_try(10)
    sender.append(0)
    wait_until(lambda: sender.faults.get("broker_events"), "the refusal")
    assert "may not publish" in str(sender.faults["broker_events"])
    sender.close(timeout=0.0)
    assert len(spool) == 1 and sender.publisher.published == 0


def test_results_are_bounded(mosquitto: Mosquitto, spool: Spool) -> None:
    """Results without a connection are dropped and counted, never kept."""
    sender = Sender(spool, mosquitto.port)
    sender.publisher.start()
    sender.publisher.wait_first_try(10)
    for _ in range(1000):
        sender.publisher.send_once("l/s/v1/cam/top/result", b"{}")
    assert sender.publisher.dropped == 1000
    sender.close()


def test_fault_of_the_sender_is_survived(mosquitto: Mosquitto, spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception in the sender (here: a disk that fails for a while) is reported and ends nothing."""
    mosquitto.start()
    sender = Sender(spool, mosquitto.port)
    broken = threading.Event()
    broken.set()
    remove = spool.remove

    def failing(seqs: list[int]) -> None:
        if broken.is_set():
            raise OSError("disk gone")
        remove(seqs)

    monkeypatch.setattr(spool, "remove", failing)
    sender.publisher.start()
    sender.publisher.wait_first_try(10)
    sender.append(0)
    wait_until(lambda: "disk gone" in (sender.faults.get("publisher") or ""), "the fault")
    broken.clear()
    wait_until(lambda: len(spool) == 0, "the event to leave the disk")
    wait_until(lambda: sender.faults.get("publisher") is None, "the fault to be over")
    sender.close()
