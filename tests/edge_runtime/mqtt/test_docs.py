from __future__ import annotations

import json
import queue
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from edge_runtime.mqtt.broker import Broker, Will
from edge_runtime.mqtt.publisher import Publisher
from edge_runtime.mqtt.spool.spool import Spool
from edge_runtime.pacing import Backoff
from tests.mosquitto import Mosquitto
from tests.paths import ROOT
from tests.waiting import wait_until


def test_consumer_of_the_page_prints_an_event_once(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """The Python example in docs/mqtt.md runs unchanged, prints each defect, and drops the duplicate."""
    mosquitto.start()
    page = (ROOT / "docs" / "mqtt.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    spool = Spool(tmp_path / "s.sqlite", 10)
    event: dict[str, object] = {
        "station": "line-1",
        "camera": "top",
        "captured_at": "now",
        "score": 4.5,
        "defects": [{"bbox": [1, 2, 3, 4]}],
    }
    for event_id in ("a", "a", "b"):
        spool.append("latentline/line-1/v1/cam/top/defect", {**event, "event_id": event_id})
    command = [sys.executable, "-c", code, "127.0.0.1", str(mosquitto.port)]
    consumer = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert consumer.stdout is not None
    try:
        mosquitto.wait_for_log("defect-log .*latentline/|latentline/.*defect-log")
        broker = Broker("127.0.0.1", mosquitto.port, "sender")
        publisher = Publisher(
            broker, spool, lambda: Will("l/status", b"{}", 0), Backoff(0.1, 0.1), lambda code, sentence: None
        )
        publisher.start()
        publisher.wait_first_try(10)
        publisher.close("l/status", {}, 10.0)
        lines = [consumer.stdout.readline() for _ in range(2)]
    finally:
        consumer.kill()
        rest = consumer.communicate()[0]
    assert lines == ["now line-1 top 4.5 [1, 2, 3, 4]\n"] * 2
    assert rest == ""
    spool.close()


_POISON = [
    b"",
    b"not JSON",
    b"\xff\xfe\x00",
    b"null",
    b"5",
    b"[]",
    b"{}",
    b'"text"',
    b'{"event_id": ["x"], "defects": []}',
    b'{"event_id": "p1", "defects": null}',
    b'{"event_id": "p2", "defects": [5], "captured_at": 1, "station": 2, "camera": 3, "score": 4}',
    b'{"event_id": "p3", "defects": [{}], "captured_at": 1, "station": 2, "camera": 3, "score": 4}',
    b'{"event_id": "p4", "defects": [{"bbox": "\\ud800\\u001b[2J"}]'
    b', "captured_at": 1, "station": 2, "camera": 3, "score": 4}',
    b"[" * 100_000,
    b"9" * 10_000,
]


def test_consumer_of_the_page_survives_poison(mosquitto: Mosquitto) -> None:
    """Whatever else is published on the topic, with properties that paho cannot read too: the next event is printed."""
    mosquitto.start()
    page = (ROOT / "docs" / "mqtt.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    command = [sys.executable, "-c", code, "127.0.0.1", str(mosquitto.port)]
    consumer = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    topic = "latentline/line-1/v1/cam/top/defect"
    event = {"station": "line-1", "camera": "top", "captured_at": "now", "score": 4.5, "defects": [{"bbox": [1]}]}
    try:
        mosquitto.wait_for_log("defect-log .*latentline/|latentline/.*defect-log")
        client = paho.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        client.connect("127.0.0.1", mosquitto.port)
        client.loop_start()
        for payload in _POISON:
            client.publish(topic, payload, 1).wait_for_publish(20)
        for _ in range(30):  # more than the broker lets wait for a PUBACK
            _publish_raw(mosquitto.port, topic)
        client.publish(topic, json.dumps({**event, "event_id": "good"}), 1).wait_for_publish(20)
        client.loop_stop()
        assert consumer.stdout is not None
        lines = [consumer.stdout.readline() for _ in range(2)]
    finally:
        consumer.kill()
        rest, errors = consumer.communicate()
    assert lines == ["1 2 3 4 \\ud800\\x1b[2J\n", "now line-1 top 4.5 [1]\n"] and rest == ""
    assert errors.count("no event on") == len(_POISON) - 1 and errors.count("cannot be read") == 30


def _publish_raw(port: int, topic: str) -> None:
    """Publish, with QoS 1, a message whose user property holds U+FEFF, which MQTT allows and paho refuses to send."""
    name, value = b"name", "\ufeff".encode()
    properties = b"\x26" + b"".join(len(text).to_bytes(2, "big") + text for text in (name, value))
    body = len(topic).to_bytes(2, "big") + topic.encode() + b"\x00\x01" + bytes([len(properties)]) + properties + b"{}"
    connect = b"\x00\x04MQTT\x05\x02\x00\x3c\x00" + b"\x00\x03raw"
    with socket.create_connection(("127.0.0.1", port), timeout=20) as wire:
        wire.sendall(bytes([0x10, len(connect)]) + connect)
        assert wire.recv(100)[0] == 0x20
        wire.sendall(bytes([0x32, len(body)]) + body)
        assert wire.recv(100)[0] == 0x40


def test_page_links_every_schema() -> None:
    """The page links to every schema file, and every linked file is a schema."""
    page = (ROOT / "docs" / "mqtt.md").read_text()
    linked = set(re.findall(r"\((mqtt/[a-z-]+\.schema\.json)\)", page))
    files = {f"mqtt/{path.name}" for path in (ROOT / "docs" / "mqtt").glob("*.json")}
    assert linked == files
    for name in files:
        assert json.loads((ROOT / "docs" / name).read_text())["$schema"].endswith("2020-12/schema")


def test_rights_of_the_page_suffice_and_hold(mosquitto: Mosquitto) -> None:
    """With the page's rules a station publishes its events and hears commands, a consumer reads and publishes
    nothing, and only who may gives commands."""
    (rules,) = re.findall(r"```text\n(.*?)```", (ROOT / "docs" / "mqtt.md").read_text(), re.DOTALL)
    mosquitto.allow(rules)
    for user in ("line-1", "mes", "foreman"):
        mosquitto.add_user(user, "secret")
    mosquitto.start()
    own = "latentline/line-1/v1"
    with (
        _heard(mosquitto.port, "line-1", f"{own}/cmd/+") as by_station,
        _heard(mosquitto.port, "mes", "latentline/#") as by_consumer,
        _heard(mosquitto.port, "foreman", "latentline/#") as by_foreman,
    ):
        assert _published(mosquitto.port, "line-1", f"{own}/cam/top/defect")
        assert not _published(mosquitto.port, "line-1", "latentline/line-2/v1/cam/top/defect")
        assert not _published(mosquitto.port, "mes", f"{own}/cam/top/defect")
        assert not _published(mosquitto.port, "mes", f"{own}/cmd/pause")
        assert _published(mosquitto.port, "foreman", f"{own}/cmd/pause")
        assert _published(mosquitto.port, "line-1", f"{own}/response/foreman")
        wait_until(lambda: len(by_consumer) == 3, "the consumer to hear everything")
        wait_until(lambda: by_station == [f"{own}/cmd/pause"], "the station to hear its command")
        wait_until(lambda: by_foreman == [f"{own}/response/foreman"], "the foreman to hear the answer, and no more")


@contextmanager
def _heard(port: int, user: str, topic: str) -> Iterator[list[str]]:
    """Topics of the messages that `user` gets while subscribed to `topic`."""
    topics: list[str] = []
    subscribed = threading.Event()
    client = _client(user)

    def subscribe(*_: Any) -> None:
        client.subscribe(topic, 1)

    client.on_connect = subscribe
    client.on_subscribe = lambda *_: subscribed.set()
    client.on_message = lambda _client, _data, message: topics.append(message.topic)
    client.connect("127.0.0.1", port)
    client.loop_start()
    assert subscribed.wait(20)
    yield topics
    client.disconnect()
    client.loop_stop()


def _client(user: str) -> paho.Client:
    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    client.username_pw_set(user, "secret")
    return client


def _published(port: int, user: str, topic: str) -> bool:
    """Whether the broker accepts a QoS 1 message of `user` on `topic`."""
    reasons: queue.SimpleQueue[int] = queue.SimpleQueue()
    client = _client(user)

    def publish(*_: Any) -> None:
        client.publish(topic, b"{}", 1)

    client.on_connect = publish
    client.on_publish = lambda _client, _data, _mid, reason, _properties: reasons.put(int(reason.value))
    client.connect("127.0.0.1", port)
    client.loop_start()
    reason = reasons.get(timeout=20)
    client.disconnect()
    client.loop_stop()
    return reason < 0x80


@pytest.mark.skipif(shutil.which("node") is None, reason="NODE IS MISSING: the Node-RED function was not run")
def test_function_node_of_the_page_drops_duplicates() -> None:
    """The Node-RED function passes each event_id once, and remembers 5000 of them."""
    (code,) = re.findall(r"```javascript\n(.*?)```", (ROOT / "docs" / "mqtt.md").read_text(), re.DOTALL)
    driver = """
        const kept = {};
        const context = {get: name => kept[name], set: (name, value) => { kept[name] = value; }};
        const node = new Function("msg", "context", process.argv[1]);
        const through = id => node({payload: {event_id: id, defects: []}}, context) !== null;
        const poison = [null, undefined, 5, "text", [], {}, {event_id: 5, defects: []}, {event_id: "a", defects: 1}];
        if (poison.some(payload => node({payload}, context) !== null)) throw new Error("poison went through");
        const first = ["a", "a", "b", "a"].map(through);
        for (let i = 0; i < 6000; i++) through("x" + i);
        console.log(JSON.stringify([first, kept.seen.length, through("x5999")]));
    """
    done = subprocess.run(["node", "-e", driver, code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [[True, False, True, False], 5000, False]
