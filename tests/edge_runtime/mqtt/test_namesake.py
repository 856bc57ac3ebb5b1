"""Another station with the same id is noticed by what it publishes."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_runtime.mqtt.broker import Broker, Will
from edge_runtime.mqtt.events import Messages, State, encode
from edge_runtime.mqtt.namesake import Namesake
from edge_runtime.mqtt.packets import Received
from edge_runtime.mqtt.publisher import Publisher
from edge_runtime.mqtt.spool.spool import Spool
from edge_runtime.pacing import Backoff
from tests.edge_runtime.mqtt_server import ACCEPTED, CONNECT, SUBSCRIBE, message_id, mqtt_server, topic_of
from tests.mosquitto import Mosquitto, Subscriber
from tests.waiting import wait_until

STATUS = "l/line-1/v1/status"


class Line:
    """A publisher with a status, as a station named `line-1` has one, and its faults."""

    def __init__(self, folder: Path, port: int, client_id: str, user: str | None = None) -> None:
        self.faults: dict[str, str | None] = {}
        self.messages = Messages("line-1")
        self._spool = Spool(folder / f"{self.messages.boot_id}.sqlite", 100)
        broker = Broker("127.0.0.1", port, client_id, user, user, keep_alive=5)
        self.publisher = Publisher(broker, self._spool, self._will, Backoff(0.05, 0.1), self._fault)
        self.publisher.watch_for(Namesake("line-1", self.messages.boot_id, 60, self._fault), STATUS)
        self.publisher.retain(STATUS, self._status("online"), 60)
        self.publisher.start()
        wait_until(lambda: self.publisher.connections, "the connection")

    def stop(self) -> None:
        self.publisher.close(STATUS, self._status("stopped"), 5)
        self._spool.close()

    def _fault(self, code: str, sentence: str | None) -> None:
        self.faults[code] = sentence
        if code == "station_id":  # the state of a station has changed, so it publishes its status
            self.publisher.retain(STATUS, self._status("degraded" if sentence else "online"), 60)

    def _status(self, state: State) -> dict[str, object]:
        return self.messages.status(state, {}, dict.fromkeys(("count", "bytes", "age"), 0))

    def _will(self) -> Will:
        return Will(STATUS, encode(self._status("offline")), 0)


@pytest.mark.parametrize("second_client", ["b", "a"], ids=["another client id", "the same client id"])
def test_both_stations_of_one_id_say_so(mosquitto: Mosquitto, tmp_path: Path, second_client: str) -> None:
    """Each names the run of the other, whether or not the broker throws them out; the one that is left is well."""
    mosquitto.start()
    first = Line(tmp_path, mosquitto.port, "a")
    with Subscriber(mosquitto.port, STATUS) as subscriber:
        subscriber.wait("status", lambda all_: bool(all_))
        second = Line(tmp_path, mosquitto.port, second_client)
        wait_until(lambda: first.faults.get("station_id") and second.faults.get("station_id"), "both faults")
        assert second.messages.boot_id in str(first.faults["station_id"])
        assert first.messages.boot_id in str(second.faults["station_id"]) and "'line-1'" in str(second.faults)
        second.stop()
        wait_until(lambda: first.faults["station_id"] is None, "the end of the fault")
    first.stop()


def test_an_earlier_run_is_no_other_station(mosquitto: Mosquitto, tmp_path: Path) -> None:
    """The retained status of a run that was killed, and the probes of `check`, are not taken for another station."""
    mosquitto.start()
    killed = Line(tmp_path, mosquitto.port, "a")
    with Subscriber(mosquitto.port, STATUS) as subscriber:
        subscriber.wait("status", lambda all_: bool(all_))
        heard: list[Received] = []
        again = Namesake("line-1", Messages("line-1").boot_id, 60, lambda *_: pytest.fail("a fault"))
        for message in subscriber.messages("status"):
            heard.append(Received(STATUS, encode(message.body), retained=True))
        probes = b"", b"[]", b'{"probe":true}', b'{"boot_id":7,"state":"online"}'
        for payload in (*(one.payload for one in heard), *probes):
            again.received(Received(STATUS, payload))
        again.check()
        assert heard
    killed.stop()


def test_another_station_is_forgotten_when_it_falls_silent() -> None:
    """Without a stop or a will, as after a power cut with the broker, the fault lasts for the lifetime of a status."""
    own, other, now = Messages("s"), Messages("s"), 0.0
    faults: list[str | None] = []
    namesake = Namesake("s", own.boot_id, 50, lambda _, sentence: faults.append(sentence), lambda: now)
    for messages in (own, other):
        namesake.received(Received("t", encode(messages.status("degraded", {}, {}))))
    namesake.check()
    now = 49.0
    namesake.check()
    assert len(faults) == 1
    now = 51.0
    namesake.check()
    namesake.check()
    assert len(faults) == 2 and faults[1] is None


def test_a_station_without_the_right_to_read_runs_without_a_fault(mosquitto: Mosquitto, tmp_path: Path) -> None:
    """A user who may only publish is connected, publishes, and has no fault."""
    mosquitto.add_user("line-1", "line-1")
    mosquitto.add_user("mes", "mes")
    mosquitto.allow(f"user line-1\ntopic write {STATUS}\n\nuser mes\ntopic read #\n")
    mosquitto.start()
    line = Line(tmp_path, mosquitto.port, "a", "line-1")
    with Subscriber(mosquitto.port, STATUS, ("mes", "mes")) as subscriber:
        subscriber.wait("status", lambda all_: bool(all_))
    assert line.publisher.connections == 1 and not any(line.faults.values())
    line.stop()


def test_a_broker_that_ends_the_connection_is_asked_once(tmp_path: Path) -> None:
    """Where the broker closes the connection of a client that may not subscribe, the next one does without."""
    topics: list[str] = []

    def answer(kind: int, _flags: int, body: bytes) -> bytes | None:
        if kind == CONNECT:
            return ACCEPTED
        if kind == SUBSCRIBE:
            return None
        topics.append(topic_of(body))
        return bytes([0x40, 2]) + message_id(body)

    with mqtt_server(answer) as port:
        line = Line(tmp_path, port, "a")
        wait_until(lambda: line.publisher.connections == 2 and STATUS in topics, "the status on a second connection")
        line.stop()
        assert line.publisher.connections == 2
