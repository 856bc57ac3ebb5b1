"""Runs the commands that come over MQTT: at most once each, in the station's own thread, always with an answer."""

from __future__ import annotations

import logging
import queue
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import Any

from edge_runtime.commands.actions import Actions, Result
from edge_runtime.commands.answers import Answered, failed, succeeded
from edge_runtime.commands.persisted import Persisted
from edge_runtime.commands.request import (
    CaptureRequest,
    CommandError,
    ModelRequest,
    Request,
    Return,
    ThresholdRequest,
    parse_request,
    return_of,
    who_asks,
)
from edge_runtime.commands.settings import CommandsSection
from edge_runtime.mqtt.packets import Received
from edge_runtime.mqtt.topics import Topics
from edge_runtime.pacing import RateLimitedLog
from latentline.base.secrets import mask_credentials
from latentline.errors import LatentlineError

_log = logging.getLogger(__name__)
_audit = logging.getLogger("latentline.audit")
_WAITING = 32  # requests that wait for the station's thread at most
_LONGEST_VERB = 64  # characters of a verb that is repeated in an answer

Reply = Callable[[str, bytes, bytes | None], object]  # topic, payload, correlation data


class Commander:
    """Between the MQTT thread, which calls `received`, and the station's, which calls `run_pending`.

    reply      publishes an answer; False when it drops it
    persisted  remembers a threshold that was set
    clock      seconds, monotonic
    counts     what became of requests, by name: done, failed, refused, repeated, unanswerable, overflow, and
               unsent answers
    A request is refused, changes nothing and is told why when it is retained, too large, expired, one too many, of a
    verb that is not enabled, or malformed. Without a usable response topic it is only counted and logged.
    """

    def __init__(
        self,
        settings: CommandsSection,
        topics: Topics,
        actions: Actions,
        reply: Reply,
        persisted: Persisted,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings, self._topics, self._actions = settings, topics, actions
        self._reply, self._persisted, self._clock = reply, persisted, clock
        self._queue: queue.Queue[tuple[float, Received]] = queue.Queue(_WAITING)
        self._answered = Answered()
        self._times: deque[float] = deque()  # of the requests of the last minute
        self._complaints = RateLimitedLog(_log)
        self.counts: Counter[str] = Counter()

    @property
    def topic_filter(self) -> str | None:
        """What to subscribe to; None when no verb is enabled."""
        return self._topics.command("+") if self._settings.verbs else None

    def received(self, item: Received) -> None:
        """Take a request; never blocks, never raises. For the MQTT thread."""
        try:
            self._queue.put_nowait((self._clock(), item))
        except queue.Full:
            self.counts["overflow"] += 1

    def run_pending(self) -> None:
        """Run what was taken, and answer. For the station's thread, between frames; never raises."""
        for _ in range(_WAITING):
            try:
                taken_at, item = self._queue.get_nowait()
            except queue.Empty:
                return
            try:
                self._handle(item, taken_at)
            except Exception:
                _log.exception("a command could not be handled")
                self.counts["failed"] += 1

    def _handle(self, item: Received, taken_at: float) -> None:
        commands = self._topics.command("")
        verb = item.topic.removeprefix(commands)
        try:
            if not item.topic.startswith(commands):
                raise CommandError("it came on a topic that is not for commands")
            where = return_of(item, self._topics)
        except CommandError as error:
            self._complain("unanswerable", verb, error)
            return
        fingerprint = (verb, item.payload)
        try:
            self._check(item, taken_at, where, verb)
            repeated = self._answered.known(where, fingerprint)
            request = parse_request(verb, item.payload)
        except CommandError as error:
            self._complain("refused", verb, error)
            self._send(where, failed(self._topics.station, verb[:_LONGEST_VERB], str(error)))
            return
        if repeated:
            self._repeat(where)
            return
        self._answered.begin(where, fingerprint)
        self._run(verb, request, who_asks(item, request), where)

    def _check(self, item: Received, taken_at: float, where: Return, verb: str) -> None:
        """Raise CommandError for a request that is not looked into."""
        settings, moment = self._settings, self._clock()
        while self._times and moment - self._times[0] >= 60.0:
            self._times.popleft()
        if len(self._times) >= settings.max_per_minute:
            raise CommandError(f"more than {settings.max_per_minute} requests in a minute; ask again later")
        self._times.append(moment)
        if item.retained:
            raise CommandError("it is retained; a command is sent without the retain flag")
        if verb not in settings.verbs:
            allowed = ", ".join(settings.verbs)
            raise CommandError(f"the command {verb[:_LONGEST_VERB]!r} is not one that this station allows ({allowed})")
        if len(item.payload) > settings.max_payload_bytes:
            raise CommandError(f"its payload is larger than {settings.max_payload_bytes} bytes")
        if item.expiry is not None and moment - taken_at >= item.expiry:
            raise CommandError("it expired before the station came to it")
        if where.correlation is None:
            raise CommandError("it has no correlation data, or more than 128 bytes of it; every request needs its own")

    def _repeat(self, where: Return) -> None:
        self.counts["repeated"] += 1
        answer = self._answered.answer(where)
        if answer is not None:
            self._send(where, answer)

    def _run(self, verb: str, request: Request, who: str, where: Return) -> None:
        """Carry it out. Everything but a model's switch is done at once."""

        def finish(outcome: Result | LatentlineError) -> None:
            self._finish(verb, who, where, outcome)

        try:
            if isinstance(request, ModelRequest):
                self._actions.switch_model(request.name, request.sha256, finish)
                return
            finish(self._result(verb, request, who))
        except LatentlineError as error:
            finish(error)
        except Exception as error:
            _log.exception("the command %s failed", verb)
            finish(CommandError(f"the station failed at it ({type(error).__name__}); its log says more"))

    def _result(self, verb: str, request: Request, who: str) -> Result:
        actions = self._actions
        if isinstance(request, CaptureRequest):
            return {"cameras": actions.capture(request.camera)}
        if isinstance(request, ThresholdRequest):
            return self._set_threshold(request.value, who)
        if verb == "diagnostics":
            return actions.diagnostics()
        (actions.pause if verb == "pause" else actions.resume)()
        return {"paused": verb == "pause"}

    def _set_threshold(self, value: float, who: str) -> Result:
        bounds = self._settings.threshold
        assert bounds is not None  # the settings see to it
        if not bounds.minimum <= value <= bounds.maximum:
            raise CommandError(
                f"{value:g} is not within this station's bounds, {bounds.minimum:g} to {bounds.maximum:g}"
            )
        # First the disk: a threshold that a restart would take back must not come into force.
        self._persisted.set_threshold(value, self._actions.identity.sha256, who)
        old, new = self._actions.set_threshold(value, who)
        return {"old": old, "new": new, "who": who}

    def _finish(self, verb: str, who: str, where: Return, outcome: Result | LatentlineError) -> None:
        station = self._topics.station
        if isinstance(outcome, LatentlineError):
            sentence = mask_credentials(str(outcome))
            answer = failed(station, verb, sentence)
            self.counts["failed"] += 1
            _audit.warning("command %s by %s failed: %s", verb, who, sentence)
        else:
            answer = self._encoded(verb, outcome)
            self.counts["done"] += 1
            said = "" if verb == "diagnostics" else f": {dict(outcome)}"
            _audit.info("command %s by %s done%s", verb, who, said)
        self._answered.end(where, answer)
        self._send(where, answer)

    def _encoded(self, verb: str, result: Mapping[str, Any]) -> bytes:
        try:
            return succeeded(self._topics.station, verb, result)
        except (TypeError, ValueError) as error:
            _log.exception("the answer to %s is not JSON", verb)
            return failed(self._topics.station, verb, f"it was done, but its answer cannot be written ({error})")

    def _send(self, where: Return, answer: bytes) -> None:
        if self._reply(where.topic, answer, where.correlation) is False:
            self.counts["unsent"] += 1

    def _complain(self, kind: str, verb: str, error: CommandError) -> None:
        self.counts[kind] += 1
        self._complaints.warning(f"command {verb[:_LONGEST_VERB]!r} {kind}: {mask_credentials(str(error)):.300}")
