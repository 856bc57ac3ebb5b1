"""What of all that arrives is worth saying: each event once, a state when it changes, health now and then."""

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
from edge_runtime.tools.listen import words
from edge_runtime.tools.listen.entry import Entry
from edge_runtime.tools.listen.messages import Birth, CameraStatus, Event, HealthMessage, Response, Status
from edge_runtime.tools.listen.silence import Silence

_HEALTH_SECONDS = 60.0  # one health message of a station in so long is said
_NOTHING_SECONDS = 5.0  # a station's retained messages come at once
_KNOWN_EVENTS = 100_000  # ids that are remembered; an event that comes again later than that is said again
_LEVELS = 32  # of nesting in a message
_Model = TypeVar("_Model", bound=BaseModel)


class Journal:
    """Turns messages into entries; one thread.

    root         first levels of the topics
    clock        seconds, monotonic
    events       different events so far; duplicates: deliveries of one that was known
    """

    def __init__(self, root: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._root, self._clock = root, clock
        self._known = _Known(_KNOWN_EVENTS)
        self._said: dict[str, str] = {}  # topic -> the words said last, of topics that hold a state
        self._seqs: dict[str, int] = {}  # station -> the highest seq so far
        self._unsaid: Counter[str] = Counter()  # station -> duplicates since its last new event
        self._health_due: dict[str, float] = {}
        self._silence = Silence(clock)
        self._nothing_until: float | None = None  # when to say that nothing comes; never: infinity
        self.events = 0
        self.duplicates = 0

    def hear(self, heard: Received) -> Iterator[Entry]:
        """Entries for one message; whatever it holds, nothing is raised."""
        station, _, rest = heard.topic.removeprefix(self._root + "/").partition("/v1/")
        part, _, tail = rest.partition("/")
        camera, _, about = tail.partition("/")
        topic = heard.topic
        self._nothing_until = math.inf
        if part == "cam" and about == "picture":
            yield self._picture(station, camera, heard)
            return
        try:
            message = _object(heard.payload)
            if part == "cam" and about == "defect":
                yield from self._event(station, topic, camera, message)
            elif part == "cam" and about == "status":
                state = _read(message, CameraStatus)
                yield from self._state("camera", station, topic, words.camera(camera, state), state.at, message)
            elif rest == "status":
                yield from self._status(station, heard, message)
            elif rest == "birth":
                birth = _read(message, Birth)
                yield from self._state("birth", station, topic, words.birth(birth), birth.at, message)
            elif rest == "health":
                yield from self._health(station, heard, message)
            elif part == "response":
                answer = _read(message, Response)
                yield Entry("response", words.response(answer), station, topic, answer.at, message)
        except _UnreadableError as error:
            yield Entry("unreadable", f"{topic}: {error} ({len(heard.payload)} bytes)", station, topic)

    def begin(self) -> None:
        """A new connection to the broker."""
        self._silence.begin()
        if self._nothing_until is None:
            self._nothing_until = self._clock() + _NOTHING_SECONDS

    def silent(self) -> Iterator[Entry]:
        """Stations that have become silent without a word of anybody; once, that nothing at all comes."""
        if self._nothing_until is not None and self._clock() > self._nothing_until:
            self._nothing_until = math.inf
            yield Entry("silent", "nothing has come yet: no station is there, or this user may not read its topics")
        for station, seconds in self._silence.overdue():
            yield Entry("silent", f"no sign of life for {seconds:g} s, and no status says why", station)

    def _picture(self, station: str, camera: str, heard: Received) -> Entry:
        beside = dict(heard.user_properties)
        text = f"{camera}: {len(heard.payload)} bytes of event {beside.get('event_id', '?')}"
        message = {**beside, "bytes": len(heard.payload)}
        return Entry("picture", text, station, heard.topic, message=message)

    def _status(self, station: str, heard: Received, message: dict[str, Any]) -> Iterator[Entry]:
        status = _read(message, Status)
        text, at = words.status(status), status.at
        if status.state in ("offline", "stopped"):
            self._silence.gone(station)
        if status.state == "offline":  # its `at` is when that connection began; the broker adds none
            at = now()
            text += "; since when, it does not say" if heard.retained else ""
        yield from self._state("status", station, heard.topic, text, at, message)

    def _state(
        self, kind: str, station: str, topic: str, text: str, at: str, message: dict[str, Any]
    ) -> Iterator[Entry]:
        if self._said.get(topic) != text:
            self._said[topic] = text
            yield Entry(kind, text, station, topic, at, message)

    def _event(self, station: str, topic: str, camera: str, message: dict[str, Any]) -> Iterator[Entry]:
        event = _read(message, Event)
        if not self._known.add(event.event_id):
            self.duplicates += 1
            self._unsaid[station] += 1
            return
        self.events += 1
        yield from self._repeated(station)
        yield from self._gap(station, event.seq)
        yield Entry("defect", words.event(camera, event), station, topic, event.captured_at, message)

    def rest(self) -> Iterator[Entry]:
        """What no entry has told of yet: the duplicates since the last new event."""
        for station in list(self._unsaid):
            yield from self._repeated(station)

    def _repeated(self, station: str) -> Iterator[Entry]:
        count = self._unsaid.pop(station, 0)
        if count:
            yield Entry("duplicates", f"{_events(count)} came again and were dropped", station)

    def _gap(self, station: str, seq: int) -> Iterator[Entry]:
        last = self._seqs.get(station)
        self._seqs[station] = seq if last is None else max(last, seq)
        if last is not None and seq > last + 1:
            missing = seq - last - 1
            yield Entry("gap", f"{_events(missing)} did not come (seq {last + 1} to {seq - 1})", station)

    def _health(self, station: str, heard: Received, message: dict[str, Any]) -> Iterator[Entry]:
        health = _read(message, HealthMessage)
        if heard.expiry is not None:  # a health message is good until the next ones are overdue
            self._silence.heard(station, float(heard.expiry))
        moment = self._clock()
        if moment >= self._health_due.get(station, moment):
            self._health_due[station] = moment + _HEALTH_SECONDS
            yield Entry("health", words.health(health), station, heard.topic, health.at, message)


class _Known:
    """The newest `limit` ids."""

    def __init__(self, limit: int) -> None:
        self._ids: set[str] = set()
        self._order: deque[str] = deque()
        self._limit = limit

    def add(self, name: str) -> bool:
        """Whether `name` is new."""
        if name in self._ids:
            return False
        self._ids.add(name)
        self._order.append(name)
        if len(self._order) > self._limit:
            self._ids.remove(self._order.popleft())
        return True


class _UnreadableError(Exception):
    """A payload is not what its topic promises."""


def _object(payload: bytes) -> dict[str, Any]:
    try:
        message = json.loads(payload, parse_constant=_not_a_number)
    except (ValueError, RecursionError):
        raise _UnreadableError("not JSON") from None
    if not isinstance(message, dict):
        raise _UnreadableError("not a JSON object")
    if not _plain(message, _LEVELS):
        raise _UnreadableError("nested too deeply, or a number without end")
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
        place = ".".join(str(part) for part in fault["loc"])
        raise _UnreadableError(f"'{place}': {fault['msg'][:1].lower()}{fault['msg'][1:]}") from None


def _events(count: int) -> str:
    return f"{count} event{'s' if count > 1 else ''}"
