"""`check` finds what would keep a station from delivering at a real broker, and disturbs nobody."""

from __future__ import annotations

import json
import re
import threading
from pathlib import Path
from typing import Any

import pytest

from edge_runtime.config import StationConfig
from edge_runtime.tools import broker_check
from edge_runtime.tools.broker_check import check_broker
from edge_runtime.tools.finding import Finding
from latentline.base.strict_yaml import parse
from tests.edge_runtime.fakes import BRIGHT, station_data
from tests.edge_runtime.faults.running import ScriptedCamera, grey, running
from tests.edge_runtime.mqtt_server import ACCEPTED, CONNECT, PUBLISH, message_id, mqtt_server, topic_of
from tests.mosquitto import Mosquitto, Subscriber
from tests.paths import ROOT

OWN = "latentline/line-1/v1"
TOPICS = ["status", "birth", "health", "cam/top/status", "cam/top/defect", "cam/top/picture", "cam/top/result"]
ALL = [f"{OWN}/{topic}" for topic in [*TOPICS, "response/probe", "cmd/probe"]]
EVERYTHING: dict[str, Any] = {"pictures": {}, "commands": {"verbs": ["pause"]}}


def _data(folder: Path, port: int, **mqtt: Any) -> dict[str, Any]:
    """A station that publishes all there is, as the user line-1."""
    data = station_data(folder, port, results=True, username="line-1", password_env="BROKER_PASSWORD", **mqtt)
    return {**data, **EVERYTHING}


def _check(data: dict[str, Any]) -> list[Finding]:
    return list(check_broker(parse(data, StationConfig, "-")))


@pytest.fixture(autouse=True)
def _password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROKER_PASSWORD", "secret")


def test_a_running_station_and_its_consumers_notice_nothing(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """With the rights of docs/mqtt.md all is well. The station stays connected, its retained messages stay, and all
    that subscribers receive is one probe among the commands."""
    (rules,) = re.findall(r"```text\n(.*?)```", (ROOT / "docs" / "mqtt.md").read_text(), re.DOTALL)
    mosquitto.allow(rules)
    for user in ("line-1", "mes"):
        mosquitto.add_user(user, "secret")
    mosquitto.start()
    data, camera = {**_data(tmp_path, mosquitto.port), "pictures": None}, ScriptedCamera()
    with Subscriber(mosquitto.port, "latentline/#", ("mes", "secret")) as subscriber, running(data, camera) as station:
        subscriber.wait_state("online")
        findings = _check({**data, "spool": {"path": "unused"}})
        assert [(finding.subject, finding.ok, finding.warning) for finding in findings] == [
            (subject, True, False) for subject in ("broker", "topics", "commands")
        ]
        assert "all 7 topics" in findings[1].message and "arrive" in findings[2].message
        camera.put(grey(BRIGHT))
        subscriber.wait("defect", bool)  # the broker has handed out everything before it
        assert [message.topic for message in subscriber.messages() if "probe" in message.body] == [f"{OWN}/cmd/probe"]
        assert station.snapshot().connections == 1
        with Subscriber(mosquitto.port, f"{OWN}/status", ("mes", "secret")) as late:
            assert late.wait("v1/status", bool)[0].body["state"] == "online"


def test_each_topic_that_is_denied_is_named(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """Whichever topic this user may not write, exactly this one is named, with the broker's reason."""
    mosquitto.add_user("line-1", "secret")
    for denied in ALL[:-1]:
        _rules(mosquitto, write=[topic for topic in ALL if topic != denied], read=[f"{OWN}/cmd/+"])
        mosquitto.start()
        findings = {finding.subject: finding for finding in _check(_data(tmp_path, mosquitto.port))}
        mosquitto.stop()
        topics = findings["topics"]
        assert not topics.ok and findings["broker"].ok and findings["commands"].ok
        assert f"refuses messages on {denied} (not authorised, MQTT reason 0x87); let user 'line-1'" in topics.message


def test_a_user_without_any_right_gets_a_short_sentence(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """Of many topics only some are named."""
    mosquitto.add_user("line-1", "secret")
    _rules(mosquitto, write=["another/station"], read=[])
    mosquitto.start()
    data = _data(tmp_path, mosquitto.port)
    data["cameras"] = [{"id": f"c{number}", "kind": "simulator"} for number in range(20)]
    (topics,) = [finding for finding in _check(data) if finding.subject == "topics"]
    assert not topics.ok and "and 74 more (not authorised" in topics.message and len(topics.message) < 700


def _rules(mosquitto: Mosquitto, write: list[str], read: list[str]) -> None:
    lines = [*(f"topic write {topic}" for topic in write), *(f"topic read {topic}" for topic in read)]
    mosquitto.allow("\n".join(["user line-1", *lines, ""]))


@pytest.mark.parametrize(
    ("write", "read", "ok", "said"),
    [
        (ALL, [], False, "no command arrives; let this station's user read this topic"),
        (ALL[:-1], [f"{OWN}/cmd/+"], True, "whether commands arrive is not known"),
    ],
)
def test_commands_that_cannot_arrive_are_found(
    tmp_path: Path, mosquitto: Mosquitto, write: list[str], read: list[str], ok: bool, said: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """mosquitto grants every subscription, so `check` sends a probe to itself; where it may not, it says so."""
    monkeypatch.setattr(broker_check, "_ECHO_SECONDS", 0.3)
    mosquitto.add_user("line-1", "secret")
    _rules(mosquitto, write, read)
    mosquitto.start()
    finding = _check(_data(tmp_path, mosquitto.port))[-1]
    assert (finding.subject, finding.ok) == ("commands", ok) and said in finding.message


@pytest.mark.parametrize(
    ("line", "subject", "ok", "said"),
    [
        ("retain_available false", "broker", False, "keeps no retained messages"),
        ("max_qos 0", "broker", False, "takes only messages of QoS 0"),
        ("max_qos 1", "topics", True, "may publish on all"),
        ("message_size_limit 2500", "topics", True, "does not take messages of 16000 bytes"),
        ("message_size_limit 500", "topics", False, "cam/top/defect (too large, MQTT reason 0x95); raise its limit on"),
        ("max_packet_size 2500", "topics", True, "does not take messages of 16000 bytes"),
        ("max_packet_size 500", "topics", False, "cam/top/defect (too large, MQTT reason 0x95); raise its limit on"),
        ("max_inflight_messages 2", "topics", True, "may publish on all"),
    ],
)
def test_limits_of_the_broker_are_found(
    tmp_path: Path, mosquitto: Mosquitto, line: str, subject: str, ok: bool, said: str
) -> None:
    """A broker without retained messages or QoS 1 fails; a limit of size fails below an event and warns above."""
    mosquitto.configure(line)
    mosquitto.start()
    findings = _check({**_data(tmp_path, mosquitto.port), "commands": {}})
    assert all(finding.ok for finding in findings) == ok
    finding = findings[-1]
    assert (finding.subject, finding.warning) == (subject, "16000" in said) and said in finding.message
    assert "let client" not in finding.message  # a right would not help


def test_probes_of_qos_1_are_marked_and_not_retained(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """Where the broker takes no QoS 2, subscribers get probes; each fits its schema, and none stays."""
    mosquitto.configure("max_qos 1")
    mosquitto.start()
    with Subscriber(mosquitto.port) as subscriber:
        assert all(finding.ok for finding in _check({**_data(tmp_path, mosquitto.port), "commands": {}}))
        probes = subscriber.wait("", lambda all_: len(all_) == 8)  # seven topics, and a large one
        schema = json.loads((ROOT / "docs" / "mqtt" / "probe.schema.json").read_text())
        assert all(message.body["probe"] is True and not message.retained for message in probes)
        assert all(set(schema["required"]) <= message.body.keys() <= schema["properties"].keys() for message in probes)
        subscriber._messages.clear()  # their topics call for other schemas
    with Subscriber(mosquitto.port, "latentline/#") as late:
        assert not any(message.retained for message in late.messages())  # unconfirmed ones may come once more
        late._messages.clear()


def test_a_will_that_is_refused_is_told_from_a_password(tmp_path: Path) -> None:
    """A broker that accepts the client only without its will."""

    def answer(kind: int, flags: int, body: bytes) -> bytes | None:
        return bytes([0x20, 3, 0, 0x87, 0]) if kind == CONNECT and body[7] & 4 else ACCEPTED

    with mqtt_server(answer) as port:
        (finding,) = _check(_data(tmp_path, port))
    assert (
        not finding.ok
        and f"not with the station's will, a retained message of QoS 1 on {OWN}/status" in finding.message
    )


def test_a_broker_of_mqtt_3_is_named(tmp_path: Path) -> None:
    """It refuses the protocol's version, and no more can be known."""
    with mqtt_server(lambda kind, flags, body: bytes([0x20, 2, 0, 1])) as port:
        (finding,) = _check(_data(tmp_path, port))
    assert not finding.ok and "does not speak MQTT 5; use one that does" in finding.message


@pytest.mark.parametrize("farewell", [bytes([0xE0, 1, 0x87]), b""], ids=["reason", "silent"])
def test_a_broker_that_hangs_up_on_a_topic_is_found(tmp_path: Path, farewell: bytes) -> None:
    """Some brokers close the connection on a topic that is not allowed; the others are tried all the same."""
    tried: list[str] = []

    def answer(kind: int, flags: int, body: bytes) -> bytes | None:
        if kind != PUBLISH:
            return ACCEPTED
        tried.append(topic_of(body))
        if tried[-1].endswith("birth"):
            return farewell or None
        return bytes([0x50, 2]) + message_id(body)

    with mqtt_server(answer) as port:
        topics = _check({**_data(tmp_path, port), "commands": {}})[1]
    why = "not authorised, MQTT reason 0x87" if farewell else "it closes the connection"
    assert not topics.ok and f"refuses messages on {OWN}/birth ({why});" in topics.message
    assert {topic.removeprefix(f"{OWN}/") for topic in tried} == set(TOPICS)


def test_a_network_that_fails_once_accuses_no_topic(tmp_path: Path) -> None:
    """A probe upon which the connection ended without a reason is tried again."""
    cut = threading.Event()

    def answer(kind: int, flags: int, body: bytes) -> bytes | None:
        if kind == PUBLISH and topic_of(body).endswith("birth") and not cut.is_set():
            cut.set()
            return None
        return bytes([0x50, 2]) + message_id(body) if kind == PUBLISH else ACCEPTED

    with mqtt_server(answer) as port:
        assert all(finding.ok for finding in _check({**_data(tmp_path, port), "commands": {}}))
