"""Selects what to print: each event once, a state when it changes, one health message a minute."""

from __future__ import annotations

import json
import math
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from edge_runtime.mqtt.events import now
from edge_runtime.mqtt.packets import Received
from edge_runtime.mqtt.trial import PROBE_PROPERTY
from edge_runtime.tools.listen import descriptions
from edge_runtime.tools.listen.entry import Entry
from edge_runtime.tools.listen.liveness import Liveness
from edge_runtime.tools.listen.messages import Birth, CameraStatus, Event, HealthMessage, Response, Status
from latentline.base.counted import counted

_HEALTH_SECONDS = 60.0  # time between two printed health messages of a station
_NOTHING_SECONDS = 5.0  # retained messages of a station arrive at once
_RECENT_EVENTS = 100_000  # ids that are kept to recognise duplicates
_LEVELS = 32  # of nesting in a message
_Model = TypeVar("_Model", bound=BaseModel)


class Journal:
    """Turns messages into entries. For one thread.

    root         first levels of the topics
    clock        seconds, monotonic
    events       different events so far; duplicates: repeated deliveries of them
    """

    def __init__(self, root: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._root, self._clock = root, clock
        self._seen_ids = _RecentIds(_RECENT_EVENTS)
        self._last_texts: dict[str, str] = {}  # topic of a state -> the text printed last
        self._seqs: dict[str, int] = {}  # station -> the highest seq so far
        self._repeats: Counter[str] = Counter()  # station -> duplicates since its last new event
        self._health_due: dict[str, float] = {}
        self._liveness = Liveness(clock)
        self._nothing_at: float | None = None  # when to report that no message has come; infinity: never
        self.events = 0
        self.duplicates = 0

    def receive(self, received: Received) -> Iterator[Entry]:
        """The entries for one message. Never raises, whatever the message holds."""
        station, _, rest = received.topic.removeprefix(self._root + "/").partition("/v1/")
        branch, _, tail = rest.partition("/")
        camera, _, about = tail.partition("/")
        topic = received.topic
        self._nothing_at = math.inf
        if PROBE_PROPERTY in received.user_properties:
            return
        if branch == "cam" and about == "picture":
            yield self._picture(station, camera, received)
            return
        try:
            message = _object(received.payload)
            if branch == "cam" and about == "defect":
                yield from self._event(station, topic, camera, message)
            elif branch == "cam" and about == "status":
                state = _read(message, CameraStatus)
                yield from self._state("camera", station, topic, descriptions.camera(camera, state), state.at, message)
            elif rest == "status":
                yield from self._status(station, received, message)
            elif rest == "birth":
                birth = _read(message, Birth)
                yield from self._state("birth", station, topic, descriptions.birth(birth), birth.at, message)
            elif rest == "health":
                yield from self._health(station, received, message)
            elif branch == "response":
                answer = _read(message, Response)
                yield Entry("response", descriptions.response(answer), station, topic, answer.at, message)
        except _UnreadableError as error:
            yield Entry("unreadable", f"{topic}: {error} ({counted(len(received.payload), 'byte')})", station, topic)

    def connected(self) -> None:
        """The broker has accepted a new connection."""
        self._liveness.restart()
        if self._nothing_at is None:
            self._nothing_at = self._clock() + _NOTHING_SECONDS

    def overdue(self) -> Iterator[Entry]:
        """Stations that are silent although no status says so; and once, that no message has come at all."""
        if self._nothing_at is not None and self._clock() > self._nothing_at:
            self._nothing_at = math.inf
            yield Entry(
                "silent", "no message has come yet: no station is connected, or this user may not read its topics"
            )
        for station, seconds in self._liveness.overdue():
            yield Entry("silent", f"no sign of life for {seconds:g} s, and no status says why", station)

    def _picture(self, station: str, camera: str, received: Received) -> Entry:
        properties = dict(received.user_properties)
        text = f"{camera}: {counted(len(received.payload), 'byte')} of event {properties.get('event_id', '?')}"
        message = {**properties, "bytes": len(received.payload)}
        return Entry("picture", text, station, received.topic, message=message)

    def _status(self, station: str, received: Received, message: dict[str, Any]) -> Iterator[Entry]:
        status = _read(message, Status)
        text, at = descriptions.status(status), status.at
        if status.state in ("offline", "stopped"):
            self._liveness.remove(station)
        if status.state == "offline":  # its `at` is the time at which that connection began; the broker adds none
            at = now()
            text += "; the time is unknown" if received.retained else ""
        yield from self._state("status", station, received.topic, text, at, message)

    def _state(
        self, kind: str, station: str, topic: str, text: str, at: str, message: dict[str, Any]
    ) -> Iterator[Entry]:
        if self._last_texts.get(topic) != text:
            self._last_texts[topic] = text
            yield Entry(kind, text, station, topic, at, message)

    def _event(self, station: str, topic: str, camera: str, message: dict[str, Any]) -> Iterator[Entry]:
        event = _read(message, Event)
        if not self._seen_ids.add(event.event_id):
            self.duplicates += 1
            self._repeats[station] += 1
            return
        self.events += 1
        yield from self._report_repeats(station)
        yield from self._gap(station, event.seq)
        yield Entry("defect", descriptions.event(camera, event), station, topic, event.captured_at, message)

    def unreported(self) -> Iterator[Entry]:
        """The duplicates since the last new event, which no entry has reported yet."""
        for station in list(self._repeats):
            yield from self._report_repeats(station)

    def _report_repeats(self, station: str) -> Iterator[Entry]:
        count = self._repeats.pop(station, 0)
        if count:
            yield Entry(
                "duplicates", f"{_events(count)} came again and {'was' if count == 1 else 'were'} dropped", station
            )

    def _gap(self, station: str, seq: int) -> Iterator[Entry]:
        last = self._seqs.get(station)
        self._seqs[station] = seq if last is None else max(last, seq)
        if last is not None and seq > last + 1:
            missing = seq - last - 1
            yield Entry("gap", f"{_events(missing)} did not come (seq {last + 1} to {seq - 1})", station)

    def _health(self, station: str, received: Received, message: dict[str, Any]) -> Iterator[Entry]:
        health = _read(message, HealthMessage)
        if received.expiry is not None:  # it expires when the next ones are overdue
            self._liveness.alive(station, float(received.expiry))
        moment = self._clock()
        if moment >= self._health_due.get(station, moment):
            self._health_due[station] = moment + _HEALTH_SECONDS
            yield Entry("health", descriptions.health(health), station, received.topic, health.at, message)


class _RecentIds:
    """A set of the newest `limit` ids."""

    def __init__(self, limit: int) -> None:
        self._ids: set[str] = set()
        self._order: deque[str] = deque()
        self._limit = limit

    def add(self, name: str) -> bool:
        """Add `name`; returns whether it is new."""
        if name in self._ids:
            return False
        self._ids.add(name)
        self._order.append(name)
        if len(self._order) > self._limit:
            self._ids.remove(self._order.popleft())
        return True


class _UnreadableError(Exception):
    """The payload does not fit its topic."""


def _object(payload: bytes) -> dict[str, Any]:
    try:
        message = json.loads(payload, parse_constant=_not_a_number)
    except (ValueError, RecursionError):
        raise _UnreadableError("not JSON") from None
    if not isinstance(message, dict):
        raise _UnreadableError("not a JSON object")
    if not _plain(message, _LEVELS):
        raise _UnreadableError("nested too deeply, or with an infinite number")
    return message


def _plain(value: Any, levels: int) -> bool:
    """Whether no number is infinite (1e999 is valid JSON) and nothing is nested deeper than `levels`."""
    if isinstance(value, float):
        return math.isfinite(value)
    if not isinstance(value, dict | list):
        return True
    inner = value.values() if isinstance(value, dict) else value
    return levels > 0 and all(_plain(item, levels - 1) for item in inner)


def _not_a_number(name: str) -> None:
    raise ValueError(name)


def _read(message: dict[str, Any], model: type[_Model]) -> _Model:
    try:
        return model.model_validate(message)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        place = ".".join(str(key) for key in fault["loc"])
        raise _UnreadableError(f"'{place}': {fault['msg'][:1].lower()}{fault['msg'][1:]}") from None


def _events(count: int) -> str:
    return counted(count, "event")
