"""An event that can never be delivered becomes a dead letter, and everything after it flows."""

from __future__ import annotations

import socket
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_runtime.mqtt import suspects
from edge_runtime.mqtt.broker import Broker, Will
from edge_runtime.mqtt.events import encode
from edge_runtime.mqtt.publisher import Publisher
from edge_runtime.mqtt.spool.spool import Spool
from edge_runtime.pacing import Backoff
from tests.mosquitto import Mosquitto, Subscriber
from tests.waiting import wait_until

STATUS, DEFECT = "l/s/v1/status", "l/s/v1/cam/top/defect"


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    """An empty spool."""
    spool = Spool(tmp_path / "s.sqlite", 10_000)
    yield spool
    spool.close()


def _publisher(spool: Spool, port: int, faults: dict[str, str | None]) -> Publisher:
    broker = Broker("127.0.0.1", port, "sender", keep_alive=5)
    will = Will(STATUS, encode({"state": "offline"}), 0)
    return Publisher(broker, spool, lambda: will, Backoff(0.05, 0.1), faults.__setitem__)


def test_poison_does_not_stop_the_others(mosquitto: Mosquitto, spool: Spool, tmp_path: Path) -> None:
    """With a limit that mosquitto does not announce, and with invalid topics, there is one connection, all other
    events come once, and no other client is blamed."""
    mosquitto.configure("message_size_limit 2500")
    mosquitto.start()
    faults: dict[str, str | None] = {}
    with Subscriber(mosquitto.port) as subscriber:
        for number in range(20):
            topic = {5: "l/#", 6: "l/+/x", 7: "l/\0", 8: "x" * 70_000, 9: ""}.get(number, DEFECT)
            spool.append(topic, {"number": number, "padding": "x" * (5000 if number in (3, 12) else 0)})
        publisher = _publisher(spool, mosquitto.port, faults)
        publisher.start()
        found = subscriber.wait("defect", lambda all_: len(all_) == 13)
        wait_until(lambda: len(spool) == 0, "the spool to be empty")
        publisher.close(STATUS, {"state": "stopped"}, 5.0)
    assert [message.body["number"] for message in found] == [0, 1, 2, 4, 10, 11, *range(13, 20)]
    assert publisher.connections == 1 and not faults.get("client_id") and spool.dead_letters == 7
    assert "7 events" in str(faults["broker_events.never"]) and "too large" in str(faults["broker_events.never"])
    spool.close()
    database = sqlite3.connect(tmp_path / "s.sqlite")
    assert [seq for (seq,) in database.execute("SELECT seq FROM dead ORDER BY seq")] == [4, 6, 7, 8, 9, 10, 13]
    database.close()


def test_topic_upon_which_mosquitto_hangs_up(
    mosquitto: Mosquitto, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A control character in a topic is allowed by MQTT, but mosquitto ends the connection: the event is a dead letter,
    the others come, and no other client is blamed."""
    monkeypatch.setattr(suspects, "_QUIET_SECONDS", 0.1)
    mosquitto.start()
    blamed: set[str] = set()
    with Subscriber(mosquitto.port) as subscriber:
        for number in range(6):
            spool.append("l/\x01" if number == 2 else DEFECT, {"number": number})
        publisher = _publisher(spool, mosquitto.port, _Codes(blamed))
        publisher.start()
        wait_until(lambda: spool.dead_letters == 1 and len(spool) == 0, "the dead letter")
        found = subscriber.wait("defect", lambda all_: len({message.body["number"] for message in all_}) == 5)
        publisher.close(STATUS, {"state": "stopped"}, 5.0)
    assert {message.body["number"] for message in found} == {0, 1, 3, 4, 5} and "client_id" not in blamed


class _Codes(dict[str, str | None]):
    """Faults, and the codes of all that there ever were."""

    def __init__(self, seen: set[str]) -> None:
        super().__init__()
        self._seen = seen

    def __setitem__(self, code: str, sentence: str | None) -> None:
        super().__setitem__(code, sentence)
        if sentence is not None:
            self._seen.add(code)


def _serve(server: socket.socket, poison: bytes, taken: list[bytes]) -> None:
    """A broker that closes the connection when it receives a message that contains `poison`."""
    while True:
        try:
            line, _ = server.accept()
        except OSError:
            return
        with line:
            line.settimeout(10)
            _packet(line)
            line.sendall(bytes([0x20, 3, 0, 0, 0]))  # CONNACK
            while (packet := _packet(line)) is not None and poison not in packet[1]:
                if packet[0] & 0xF0 == 0x30:
                    taken.append(packet[1])
                    topic_end = 2 + int.from_bytes(packet[1][:2], "big")
                    line.sendall(bytes([0x40, 2]) + packet[1][topic_end : topic_end + 2])  # PUBACK
                if packet[0] == 0xE0:
                    break


def _packet(line: socket.socket) -> tuple[int, bytes] | None:
    try:
        head = line.recv(1)
        if not head:
            return None
        size = shift = 0
        while True:
            byte = line.recv(1)[0]
            size |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
        body = b""
        while len(body) < size:
            body += line.recv(size - len(body))
        return head[0], body
    except (OSError, IndexError):
        return None


def test_event_upon_which_the_broker_hangs_up(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """After three ends of a working connection with these events alone in flight they are dead letters; the others
    arrive, and no other client is blamed."""
    monkeypatch.setattr(suspects, "_QUIET_SECONDS", 0.1)
    faults: dict[str, str | None] = {}
    blamed: list[str] = []
    taken: list[bytes] = []
    for number in range(10):
        spool.append(DEFECT, {"poison" if number in (4, 6) else "number": number})
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=_serve, args=(server, b"poison", taken))
        thread.start()
        publisher = _publisher(spool, server.getsockname()[1], faults)
        publisher.start()
        wait_until(lambda: len(spool) == 0, "the spool to be empty")
        wait_until(lambda: publisher.connected, "a connection")
        blamed += [code for code, sentence in faults.items() if sentence]
        connections = publisher.connections
        publisher.close(STATUS, {"state": "stopped"}, 5.0)
        server.shutdown(socket.SHUT_RDWR)
        thread.join(10)
    assert spool.dead_letters == 2 and blamed == ["broker_events.never"]
    assert "2 events can never be delivered" in str(faults["broker_events.never"]) and 8 <= connections <= 12
    assert all(any(b'"number":%d,' % number in packet for packet in taken) for number in (0, 1, 2, 3, 5, 7, 8, 9))
