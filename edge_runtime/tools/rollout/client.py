"""Commands to stations, and their answers and messages, over one broker."""

from __future__ import annotations

import json
import os
import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from edge_runtime.mqtt.broker import Broker
from edge_runtime.mqtt.packets import PublishProperties, Received
from edge_runtime.mqtt.topics import Topics
from edge_runtime.tools.listen.subscriber import Subscriber
from edge_runtime.tools.rollout.watched_station import WatchedStation
from latentline.errors import BrokerError

_CONNECT_SECONDS = 15.0
_AWAY_SECONDS = 120.0  # without a connection, after which nobody waits for the broker any more
_REQUEST_EXPIRY = 30  # seconds
_TICK_SECONDS = 0.2


@dataclass(frozen=True)
class StationAnswer:
    """The answer to a command. error: None where it succeeded."""

    result: Mapping[str, Any]
    error: str | None


@dataclass(frozen=True)
class SentRequest:
    """A request that waits for its answer."""

    station: str
    verb: str
    payload: bytes
    correlation: bytes


class RolloutClient:
    """A connection within a `with` block; a thread reads it. `views` has what is known of each station.

    who  requester, and the level below `response/` on which the answers come
    """

    def __init__(self, broker: Broker, root: str, stations: tuple[str, ...], who: str) -> None:
        self._who = who
        self.views = {station: WatchedStation(Topics(root, station)) for station in stations}
        self._changed = threading.Condition()
        self._answers: dict[bytes, StationAnswer] = {}
        self._outbox: queue.SimpleQueue[SentRequest] = queue.SimpleQueue()
        self._stopping = False
        self._error: Exception | None = None
        self._connection: tuple[bool, str] = (False, "")
        self._away_at: float | None = None  # monotonic, since when there has been no connection
        filters: dict[str, int] = {}
        for view in self.views.values():
            topics = view.topics
            filters |= {topics.status: 1, topics.birth: 1, topics.health: 0, self._responses(topics): 1}
        self._subscriber = Subscriber(broker, filters, self._receive, self._connected, self._send_waiting)
        self._thread = threading.Thread(target=self._run, name="rollout client", daemon=True)

    def __enter__(self) -> RolloutClient:
        """Connect. Raises BrokerError when the broker cannot be reached or refuses this user."""
        self._thread.start()
        try:
            if not self.wait(lambda: self._connection[0], _CONNECT_SECONDS):
                raise BrokerError(self._connection[1].removesuffix("; trying again") or "the broker does not answer")
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def wait(self, done: Callable[[], object], seconds: float) -> bool:
        """Wait until `done`, which is asked a few times a second; False after `seconds`.

        Raises BrokerError when the broker refuses this client, or is away for minutes.
        """
        deadline = time.monotonic() + seconds
        with self._changed:
            while not done():
                if self._error is not None:
                    raise self._error
                if self._away_at is not None and time.monotonic() > self._away_at + _AWAY_SECONDS:
                    raise BrokerError(f"{self._connection[1].removesuffix('; trying again')}, for {_AWAY_SECONDS:g} s")
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                self._changed.wait(min(left, _TICK_SECONDS))
        return True

    def ask(self, station: str, verb: str, payload: Mapping[str, Any]) -> SentRequest:
        """Send a command; `answer_to` has its answer later."""
        encoded = json.dumps({**payload, "who": self._who}).encode()
        request = SentRequest(station, verb, encoded, os.urandom(16))
        self._outbox.put(request)
        return request

    def again(self, request: SentRequest) -> None:
        """Send a request again that may be lost; the station carries it out once."""
        self._outbox.put(request)

    def answer_to(self, request: SentRequest) -> StationAnswer | None:
        """The answer; None: there is none yet."""
        return self._answers.get(request.correlation)

    def _responses(self, topics: Topics) -> str:
        return f"{topics.responses}/{self._who}"

    def _run(self) -> None:
        try:
            self._subscriber.run(lambda: self._stopping)
        except Exception as error:
            with self._changed:
                self._error = error
                self._changed.notify_all()

    def _receive(self, message: Received) -> None:
        with self._changed:
            for view in self.views.values():
                view.take(message)
                if message.topic == self._responses(view.topics) and message.correlation:
                    answer = _answer(message.payload)
                    if answer is not None:
                        self._answers.setdefault(message.correlation, answer)
            self._changed.notify_all()

    def _connected(self, connected: bool, sentence: str) -> None:
        with self._changed:
            self._connection = (connected, sentence)
            self._away_at = None if connected else self._away_at or time.monotonic()
            self._changed.notify_all()

    def _send_waiting(self) -> None:
        while not self._outbox.empty():
            request = self._outbox.get_nowait()
            topics = self.views[request.station].topics
            properties = PublishProperties(
                "application/json", _REQUEST_EXPIRY, request.correlation, response_topic=self._responses(topics)
            )
            self._subscriber.publish(topics.command(request.verb), request.payload, properties)

    def _close(self) -> None:
        self._stopping = True
        self._thread.join(5.0)


def _answer(payload: bytes) -> StationAnswer | None:
    try:
        body = json.loads(payload)
        if body["ok"]:
            return StationAnswer(dict(body["result"]), None)
        return StationAnswer({}, str(body["error"]))
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
