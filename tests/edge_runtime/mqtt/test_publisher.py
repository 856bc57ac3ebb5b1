from __future__ import annotations

import queue
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from edge_runtime.mqtt import packets
from edge_runtime.mqtt.broker import Broker, Will
from edge_runtime.mqtt.connection import WINDOW
from edge_runtime.mqtt.events import encode
from edge_runtime.mqtt.publisher import Publisher
from edge_runtime.mqtt.settings import MqttSection, read_password
from edge_runtime.mqtt.spool.spool import Spool
from edge_runtime.pacing import Backoff
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
    """A publisher and the faults it reported."""

    def __init__(
        self,
        spool: Spool,
        port: int,
        user: str | None = None,
        password: str | None = None,
        new_password: Callable[[], str | None] | None = None,
    ) -> None:
        self.faults: dict[str, str | None] = {}
        self._spool = spool
        broker = Broker("127.0.0.1", port, "sender", user, password, keep_alive=5, new_password=new_password)
        self.publisher = Publisher(broker, spool, self._will, Backoff(0.05, 0.1), self.faults.__setitem__)

    def append(self, number: int) -> None:
        """Spool an event as the station does."""
        self._spool.append(DEFECT, {"number": number})
        self.publisher.wake_up()

    def close(self, timeout: float = 10.0) -> None:
        """Drain the spool and disconnect."""
        self.publisher.close(STATUS, {"state": "stopped"}, timeout)

    @staticmethod
    def _will() -> Will:
        return Will(STATUS, encode({"state": "offline"}), 0)


def _numbers(messages: list[Received]) -> list[int]:
    return [message.body["number"] for message in messages]


def test_events_arrive_in_order_and_leave_the_disk(mosquitto: Mosquitto, spool: Spool) -> None:
    """More events than the window holds arrive once each, in order and not replayed; then the spool is empty."""
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


def test_absent_broker_gets_every_event_later(mosquitto: Mosquitto, spool: Spool) -> None:
    """The publisher starts without a broker and keeps events; once there is one, they arrive in order as replayed."""
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
    """Events that an earlier process left in the spool are sent first, marked as replayed."""
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
    """The broker restarts while events are written: the subscriber gets every event at least once."""
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
    """Closing without a broker does not wait, and keeps every event in the spool."""
    sender = Sender(spool, mosquitto.port)
    sender.publisher.start()
    sender.publisher.wait_first_try(10)
    sender.append(0)
    sender.close()
    assert len(spool) == 1


def test_wrong_password_is_refused_at_the_first_connection(mosquitto: Mosquitto, spool: Spool) -> None:
    """A wrong password at the first connection raises an error that names broker and user, not the password."""
    mosquitto.add_user("line", "right")
    mosquitto.start()
    sender = Sender(spool, mosquitto.port, "line", "wrong-password")
    sender.publisher.start()
    with pytest.raises(BrokerError, match=r"refuses the user name or password.*'line'") as caught:
        sender.publisher.wait_first_try(10)
    assert "wrong-password" not in str(caught.value)
    sender.close()


def test_later_refusal_is_a_fault_and_is_retried(mosquitto: Mosquitto, spool: Spool) -> None:
    """A broker that refuses the password later is a fault, and the publisher tries again until it is accepted."""
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


def test_a_password_that_changes_is_read_again(mosquitto: Mosquitto, spool: Spool, tmp_path: Path) -> None:
    """Broker and file get a new password while the station runs; a file that is away meanwhile is the fault."""
    file = tmp_path / "password"
    file.write_text("right\n")
    section = MqttSection(host="127.0.0.1", username="line", password_file=file)
    mosquitto.add_user("line", "right")
    mosquitto.start()
    sender = Sender(spool, mosquitto.port, "line", "right", partial(read_password, section))
    sender.publisher.start()
    sender.publisher.wait_first_try(10)
    mosquitto.stop()
    file.unlink()
    mosquitto.add_user("line", "changed")
    mosquitto.start()
    wait_until(lambda: f"{file} cannot be read" in (sender.faults.get("broker") or ""), "the file that is away")
    file.write_text("changed\n")
    sender.append(0)
    wait_until(lambda: len(spool) == 0 and sender.faults["broker"] is None, "the event to go out")
    sender.close()


def test_event_that_the_broker_refuses_is_kept(mosquitto: Mosquitto, spool: Spool) -> None:
    """A PUBACK with `not authorised` is a fault, and the event stays in the spool."""
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


def test_retained_messages_that_the_broker_refuses_are_a_fault(mosquitto: Mosquitto, spool: Spool) -> None:
    """The fault names the topics, and is over when the broker takes them."""
    mosquitto.add_user("line", "right")
    mosquitto.allow("user line\ntopic write l/s/v1/status\n")
    mosquitto.start()
    sender = Sender(spool, mosquitto.port, "line", "right")
    sender.publisher.retain(STATUS, {"state": "online"})
    sender.publisher.retain("l/s/v1/birth", {"model": "m"})
    sender.publisher.start()
    wait_until(lambda: sender.faults.get("broker_retained"), "the fault")
    said = "the broker refuses the retained messages on l/s/v1/birth (not authorised, MQTT reason 0x87);"
    assert str(sender.faults["broker_retained"]).startswith(said)
    mosquitto.stop()
    mosquitto.allow("user line\ntopic write l/s/v1/#\n")
    mosquitto.start()
    wait_until(lambda: sender.faults["broker_retained"] is None, "the end of the fault")
    sender.close(0.0)


def test_transient_messages_have_their_properties(mosquitto: Mosquitto, spool: Spool) -> None:
    """`send_once` sends content type, expiry and user properties; `reply` sends the correlation data."""
    mosquitto.start()
    sender = Sender(spool, mosquitto.port)
    arrived: queue.SimpleQueue[paho.MQTTMessage] = queue.SimpleQueue()
    reader = _reader(mosquitto.port, arrived)
    sender.publisher.start()
    wait_until(lambda: sender.publisher.connected, "the connection")
    pairs = (("event_id", "a"), ("index", "0"))
    payload = bytes(range(256))
    assert sender.publisher.send_once("t/1", payload, content_type="image/jpeg", expiry=60, user_properties=pairs)
    assert sender.publisher.reply("t/2", b"{}", b"\x00\xff")
    picture, answer = arrived.get(timeout=10), arrived.get(timeout=10)
    assert (picture.topic, picture.payload, picture.qos) == ("t/1", payload, 0)
    described: Any = picture.properties  # paho makes the attributes as they arrive
    answered: Any = answer.properties
    assert described.ContentType == "image/jpeg" and 0 < described.MessageExpiryInterval <= 60
    assert described.UserProperty == list(pairs)
    assert (answer.topic, answer.qos, answered.CorrelationData) == ("t/2", 1, b"\x00\xff")
    sender.close()
    reader.disconnect()
    reader.loop_stop()


def test_slots_of_transient_messages_are_released(mosquitto: Mosquitto, spool: Spool) -> None:
    """A slot is free again when its message was written or confirmed, or its connection was lost."""
    mosquitto.start()
    sender = Sender(spool, mosquitto.port)
    sender.publisher.start()
    for restart in range(2):
        wait_until(lambda: sender.publisher.connected, "the connection")
        for _ in range(300):
            wait_until(lambda: sender.publisher.send_once("t", b"x"), "a slot for a picture")
            wait_until(lambda: sender.publisher.reply("t", b"x", b"1"), "a slot for an answer")
        if not restart:
            mosquitto.stop()
            wait_until(lambda: not sender.publisher.connected, "the loss")
            mosquitto.start()
    sender.close()


def test_largest_packet_of_the_broker_is_respected(mosquitto: Mosquitto, spool: Spool) -> None:
    """A message larger than the broker accepts is dropped; one that just fits arrives."""
    mosquitto.configure("max_packet_size 2000")
    mosquitto.start()
    sender = Sender(spool, mosquitto.port)
    sender.publisher.start()
    wait_until(lambda: sender.publisher.connected, "the connection")
    assert sender.publisher.maximum_packet_size == 2000
    arrived: queue.SimpleQueue[paho.MQTTMessage] = queue.SimpleQueue()
    reader = _reader(mosquitto.port, arrived)
    pairs = (("bbox", "1 2 3 4"),)
    sent = [
        size
        for size in range(1700, 2100)
        if sender.publisher.send_once("t/1", bytes(size), content_type="image/jpeg", user_properties=pairs)
        and len(arrived.get(timeout=10).payload) == size
    ]
    assert 1850 < max(sent) < 2000 and sender.publisher.dropped == 400 - len(sent)
    assert sender.publisher.connections == 1
    sender.close()
    reader.disconnect()
    reader.loop_stop()


def test_invalid_topic_costs_one_message(mosquitto: Mosquitto, spool: Spool) -> None:
    """A message with an invalid topic is dropped and counted; the connection stays up."""
    mosquitto.start()
    sender = Sender(spool, mosquitto.port)
    sender.publisher.start()
    wait_until(lambda: sender.publisher.connected, "the connection")
    sender.publisher.send_once("t/#", b"")
    wait_until(lambda: sender.publisher.dropped == 1, "the count")
    assert sender.publisher.connections == 1 and "publisher" not in {k for k, v in sender.faults.items() if v}
    sender.close()


def test_two_stations_with_one_client_id(mosquitto: Mosquitto, tmp_path: Path, spool: Spool) -> None:
    """Every event of both arrives. Each names another client if the broker proves it; otherwise only what was seen."""
    mosquitto.start()
    other_spool = Spool(tmp_path / "other.sqlite", 100)
    fault = "client_id" if _says_taken_over(mosquitto.port) else "broker.unsteady"
    with Subscriber(mosquitto.port) as subscriber:
        first, second = Sender(spool, mosquitto.port), Sender(other_spool, mosquitto.port)
        first.publisher.start()
        first.publisher.wait_first_try(10)
        second.publisher.start()
        wait_until(lambda: first.faults.get(fault) and second.faults.get(fault), "both faults")
        assert "another client" in str(first.faults[fault]) and "'sender'" in str(first.faults[fault])
        first.append(1)
        second.append(2)
        found = subscriber.wait("defect", lambda all_: len({message.body["number"] for message in all_}) == 2)
        assert {message.body["number"] for message in found} == {1, 2}
        assert {"client_id", "broker.unsteady"} - {fault} - first.faults.keys() - second.faults.keys()
        second.close()
        wait_until(lambda: not first.faults["broker"], "the connection of the one that is left")
        first.close()
    other_spool.close()


def _says_taken_over(port: int) -> bool:
    """Whether this broker sends the reason 0x8E to a client whose id another one takes."""
    connect = bytes.fromhex("100f00044d5154540502001e0000026964")  # MQTT 5, clean start, client id "id"
    with (
        socket.create_connection(("127.0.0.1", port), 10) as old,
        socket.create_connection(("127.0.0.1", port), 10) as new,
    ):
        old.sendall(connect)
        assert old.recv(100)[0] == 0x20
        new.sendall(connect)
        return old.recv(100)[:1] == b"\xe0"


@contextmanager
def _closing_broker(*farewells: bytes) -> Iterator[int]:
    """The port of a broker that accepts one connection after another, says farewell to each and closes it, then stays
    connected."""

    def serve(server: socket.socket) -> None:
        for number, farewell in enumerate([*farewells, b""]):
            while True:
                line, _ = server.accept()
                line.settimeout(10)
                if line.recv(65536)[:1] == b"\x10":  # not the question whether the port listens
                    break
                line.close()
            line.sendall(bytes([0x20, 3, 0, 0, 0]))
            if number == len(farewells):
                lines.append(line)
                return
            line.sendall(farewell)
            line.close()

    lines: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, args=(server,), daemon=True)
        thread.start()
        yield server.getsockname()[1]
        thread.join(10)
        for line in lines:
            line.close()


def test_only_the_reason_code_proves_another_client(spool: Spool) -> None:
    """After one DISCONNECT with 0x8E the station names another client, until a connection has held for long enough."""
    with _closing_broker(bytes([0xE0, 1, 0x8E])) as port:
        sender = Sender(spool, port)
        sender.publisher.start()
        wait_until(lambda: sender.faults.get("client_id"), "the fault")
        assert "another client uses the client id 'sender'" in str(sender.faults["client_id"])
        wait_until(lambda: sender.faults["client_id"] is None, "the fault to be over")
        assert "broker.unsteady" not in sender.faults
        sender.close(0.0)


@pytest.mark.parametrize(
    "farewell", [b"", bytes([0xE0, 1, 0x8B]), bytes([0xE0, 0])], ids=["none", "shutdown", "normal"]
)
def test_connections_that_are_cut_accuse_nobody(spool: Spool, farewell: bytes) -> None:
    """A proxy that cuts, or a broker that restarts quickly, is never reported as another client."""
    with _closing_broker(*[farewell] * 4) as port:
        sender = Sender(spool, port)
        sender.publisher.start()
        wait_until(lambda: sender.publisher.connections == 5, "the connection that stays")
        assert "client_id" not in sender.faults
        assert ("broker.unsteady" in sender.faults) == (farewell == b"")
        sender.close(0.0)


def test_refused_subscription_is_a_fault(spool: Spool) -> None:
    """A broker that refuses the subscription causes the fault `commands`; the connection stays up."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        sender = Sender(spool, server.getsockname()[1])
        sender.publisher.subscribe("l/s/v1/cmd/+", lambda item: None)
        sender.publisher.start()
        line, _ = server.accept()
        with line:
            line.settimeout(10)
            line.recv(65536)
            line.sendall(bytes([0x20, 3, 0, 0, 0]))  # CONNACK
            request = line.recv(65536)
            assert request[0] == 0x82, "not a SUBSCRIBE"
            line.sendall(bytes([0x90, 4, *request[2:4], 0, 0x87]))  # SUBACK: not authorised
            wait_until(lambda: sender.faults.get("commands"), "the fault")
            assert "0x87" in str(sender.faults["commands"]) and sender.publisher.connected
            sender.close(0.0)


def test_failing_callback_is_survived(mosquitto: Mosquitto, spool: Spool) -> None:
    """After an exception in `receive`, the next message is received."""
    mosquitto.start()
    sender = Sender(spool, mosquitto.port)
    got: list[bytes] = []

    def receive(item: packets.Received) -> None:
        got.append(item.payload)
        raise RuntimeError("receiver")

    sender.publisher.subscribe("in/+", receive)
    sender.publisher.start()
    wait_until(lambda: "commands" in sender.faults, "the subscription")
    other: queue.SimpleQueue[paho.MQTTMessage] = queue.SimpleQueue()
    writer = _reader(mosquitto.port, other)
    writer.publish("in/1", b"1", qos=1)
    writer.publish("in/2", b"2", qos=1)
    wait_until(lambda: got == [b"1", b"2"], "both messages")
    assert sender.publisher.connections == 1
    sender.close()
    writer.disconnect()
    writer.loop_stop()


def _reader(port: int, arrived: queue.SimpleQueue[paho.MQTTMessage]) -> paho.Client:
    """A client that subscribes to t/#."""
    subscribed = threading.Event()
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id="reader", protocol=MQTTProtocolVersion.MQTTv5)

    def subscribe(*_: Any) -> None:
        client.subscribe("t/#", qos=1)

    client.on_connect = subscribe
    client.on_subscribe = lambda *_: subscribed.set()
    client.on_message = lambda _client, _data, message: arrived.put(message)
    client.connect("127.0.0.1", port)
    client.loop_start()
    assert subscribed.wait(10)
    return client


def test_transient_messages_without_a_connection_are_dropped(mosquitto: Mosquitto, spool: Spool) -> None:
    """Without a connection, transient messages are dropped and counted, not queued."""
    sender = Sender(spool, mosquitto.port)
    sender.publisher.start()
    sender.publisher.wait_first_try(10)
    for _ in range(1000):
        sender.publisher.send_once("l/s/v1/cam/top/result", b"{}")
    assert sender.publisher.dropped == 1000
    sender.close()


def test_failing_sender_is_survived(mosquitto: Mosquitto, spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception in the sender (here from a failing disk) is a fault, and the sender continues."""
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
