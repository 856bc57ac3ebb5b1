"""A connection on which one thing after the other is tried, and each answer of the broker is waited for.

A probe is a message that says that it is one: its payload has `probe: true`, and so have its user properties. It has
QoS 2 where the broker takes that. A broker says with its PUBREC whether the client may publish on the topic; the PUBREL
that would release the message is never sent, so mosquitto, for one, delivers a probe to nobody. Some brokers do not
wait for the PUBREL and deliver it like any message; it expires after a second and is never retained.
"""

from __future__ import annotations

import queue
import time
from types import TracebackType

from edge_runtime.mqtt.broker import Broker, Subscription, Will
from edge_runtime.mqtt.connection import Acked, Connected, Connection, ConnectionEvent, Disconnected, Subscribed
from edge_runtime.mqtt.events import encode, now
from edge_runtime.mqtt.packets import PublishProperties
from latentline.errors import BrokerError

_CONNECT_SECONDS = 15.0
_ANSWER_SECONDS = 10.0  # for a PUBREC, PUBACK or SUBACK
PROBE_PROPERTY = ("probe", "true")  # user property of every probe
_PROPERTIES = PublishProperties("application/json", 1, None, (PROBE_PROPERTY,))


class EndedError(BrokerError):
    """The broker did not accept the connection or closed it. reason: its MQTT 5 reason code, 0 if it gave none."""

    def __init__(self, sentence: str, reason: int) -> None:
        super().__init__(sentence)
        self.reason = reason


def probe(station: str, size: int = 0) -> bytes:
    """The payload of a probe, padded to about `size` bytes."""
    message = {"schema_version": 1, "station": station, "at": now(), "probe": True}
    return encode({**message, "padding": "." * size} if size else message)


class BrokerTrial:
    """A connection within a `with` block. `accepted` is what the broker has answered to it.

    Raises EndedError when the broker does not accept it, BrokerError when it does not answer.
    """

    accepted: Connected

    def __init__(self, broker: Broker, will: Will | None = None, subscription: Subscription | None = None) -> None:
        self._events: queue.SimpleQueue[ConnectionEvent] = queue.SimpleQueue()
        self._connection = Connection(broker, will, self._events.put, () if subscription is None else (subscription,))

    def __enter__(self) -> BrokerTrial:
        self._connection.start()
        try:
            answer = self._next(_CONNECT_SECONDS, "the MQTT CONNECT")
            assert isinstance(answer, Connected)
            self.accepted = answer
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def publish(self, topic: str, payload: bytes, qos: int) -> int:
        """Publish a probe, and return the reason code of the answer. Raises EndedError and BrokerError."""
        mid = self._connection.publish(topic, payload, qos=qos, properties=_PROPERTIES)
        deadline = time.monotonic() + _ANSWER_SECONDS
        while True:
            answer = self._next(deadline - time.monotonic(), f"a message on {topic}")
            if isinstance(answer, Acked) and answer.mid == mid:
                return answer.reason

    def subscribed(self) -> int:
        """The reason code of the answer to the subscription. Raises EndedError and BrokerError."""
        answer = self._next(_ANSWER_SECONDS, "the subscription")
        assert isinstance(answer, Subscribed)
        return answer.reason

    def _next(self, seconds: float, question: str) -> ConnectionEvent:
        try:
            answer = self._events.get(timeout=max(0.0, seconds))
        except queue.Empty:
            raise BrokerError(f"broker {self._connection.address} does not answer {question}") from None
        if isinstance(answer, Disconnected):
            raise EndedError(answer.sentence, answer.reason)
        return answer

    def _end(self) -> None:
        self._connection.disconnect()
        self._connection.join(2.0)
