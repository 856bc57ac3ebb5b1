"""A client that sends commands, independent of the station's code; the schemas; and a station that only records."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import jsonschema
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edge_runtime.commands.actions import Finish, Result
from latentline.errors import CameraError, LatentlineError
from latentline.package.identity import ModelIdentity
from tests.edge_runtime.fakes import FakeInspector
from tests.paths import ROOT

RESPONSES = "l/s/v1/response/office"


@lru_cache
def _schema(name: str) -> dict[str, Any]:
    schema: dict[str, Any] = json.loads((ROOT / "docs" / "mqtt" / f"{name}.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return schema


def check_request(verb: str, payload: dict[str, Any]) -> None:
    """Validate a request against its schema."""
    schema = _schema("command")
    jsonschema.Draft202012Validator({**schema["$defs"][verb]}).validate(payload)


def check_answer(answer: bytes) -> dict[str, Any]:
    """Validate an answer; returns its body."""
    body: dict[str, Any] = json.loads(answer)
    jsonschema.Draft202012Validator(_schema("response")).validate(body)
    return body


class RecordingStation:
    """Actions that record their calls."""

    def __init__(self) -> None:
        self.identity: ModelIdentity = FakeInspector.identity
        self.done: list[tuple[Any, ...]] = []
        self.threshold = 100.0
        self.finishes: list[Finish] = []

    def capture(self, camera: str | None) -> list[str]:
        if camera not in (None, "top"):
            raise CameraError(f"there is no camera {camera!r} here, see rtsp://user:secret@camera")
        self.done.append(("capture", camera))
        return ["top"]

    def pause(self) -> None:
        self.done.append(("pause",))

    def resume(self) -> None:
        self.done.append(("resume",))

    def set_threshold(self, value: float) -> tuple[float, float]:
        self.done.append(("threshold", value))
        old, self.threshold = self.threshold, value
        return old, value

    def switch_model(self, name: str, sha256: str | None, finish: Finish) -> None:
        self.done.append(("model", name, sha256))
        if name == "absent":
            raise LatentlineError("there is no such package")
        self.finishes.append(finish)

    def revert_model(self, sha256: str | None, finish: Finish) -> None:
        self.done.append(("revert", sha256))
        self.finishes.append(finish)

    def fetch_package(self, name: str, sha256: str, finish: Finish) -> None:
        self.done.append(("fetch", name, sha256))
        self.finishes.append(finish)

    def diagnostics(self) -> Result:
        self.done.append(("diagnostics",))
        return {"state": "online"}


class Requester:
    """Sends commands over a real broker and receives the answers."""

    def __init__(self, port: int) -> None:
        self.answers: queue.SimpleQueue[tuple[bytes | None, dict[str, Any]]] = queue.SimpleQueue()
        self._subscribed = threading.Event()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id="office", protocol=MQTTProtocolVersion.MQTTv5)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = self._on_message
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        self.wait()

    def __enter__(self) -> Requester:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def forget(self) -> None:
        """Call it before the broker restarts, so that `wait` waits for the new subscription."""
        self._subscribed.clear()

    def wait(self) -> None:
        """Wait until answers can arrive."""
        assert self._subscribed.wait(20), "the broker did not accept the subscription"

    def send(
        self,
        topic: str,
        payload: bytes,
        *,
        correlation: bytes | None = None,
        response_topic: str | None = RESPONSES,
        retain: bool = False,
        user_properties: tuple[tuple[str, str], ...] = (),
        expiry: int | None = None,
        qos: int = 1,
    ) -> None:
        """Publish a request, valid or not."""
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho annotates nothing there
        if response_topic is not None:
            properties.ResponseTopic = response_topic
        if correlation is not None:
            properties.CorrelationData = correlation
        if expiry is not None:
            properties.MessageExpiryInterval = expiry
        for pair in user_properties:
            properties.UserProperty = pair
        self._client.publish(topic, payload, qos=qos, retain=retain, properties=properties)

    def answer(self, seconds: float = 10.0) -> tuple[bytes | None, dict[str, Any]]:
        """Correlation data and body of the next answer, checked against its schema."""
        return self.answers.get(timeout=seconds)

    def ask(
        self, verb: str, correlation: bytes, payload: dict[str, Any] | None = None, who: str = ""
    ) -> dict[str, Any]:
        """Send a valid request; returns the body of its answer."""
        check_request(verb, payload or {})
        encoded = json.dumps(payload).encode() if payload is not None else b""
        pairs = (("who", who),) if who else ()
        self.send(f"l/s/v1/cmd/{verb}", encoded, correlation=correlation, user_properties=pairs)
        received, body = self.answer()
        assert received == correlation
        return body

    def _on_connect(self, client: paho.Client, *_: Any) -> None:
        client.subscribe(RESPONSES, qos=1)

    def _on_message(self, _client: Any, _data: Any, message: paho.MQTTMessage) -> None:
        self.answers.put((getattr(message.properties, "CorrelationData", None), check_answer(bytes(message.payload))))


def collecting(answers: list[tuple[str, bytes, bytes | None]]) -> Callable[[str, bytes, bytes | None], bool]:
    """A `reply` that checks the answers and keeps them."""

    def reply(topic: str, payload: bytes, correlation: bytes | None) -> bool:
        check_answer(payload)
        answers.append((topic, payload, correlation))
        return True

    return reply
