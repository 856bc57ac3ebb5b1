"""Runs commands that arrive over MQTT: each at most once, in the station's thread, and always with an answer.

Those of the station's own page wait in the same way, and are bounded, kept and logged in the same way.
"""

from __future__ import annotations

import logging
import queue
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import Any

from edge_runtime.commands.actions import Actions, Finish, Result
from edge_runtime.commands.answered_file import AnsweredFile
from edge_runtime.commands.answers import AnswerCache, failed, succeeded
from edge_runtime.commands.local_request import LocalRequest
from edge_runtime.commands.overrides import Overrides
from edge_runtime.commands.request import (
    CaptureRequest,
    CommandError,
    FetchRequest,
    ModelRequest,
    ReplyAddress,
    Request,
    RevertRequest,
    ThresholdRequest,
    parse_request,
    reply_address,
    requester_of,
)
from edge_runtime.commands.settings import CommandsSection
from edge_runtime.mqtt.packets import Received
from edge_runtime.mqtt.topics import Topics
from edge_runtime.pacing import RateLimitedLog
from latentline.base.secrets import mask_credentials
from latentline.errors import LatentlineError

_log = logging.getLogger(__name__)
_audit = logging.getLogger("latentline.audit")
_QUEUE_SIZE = 32  # requests that may wait for the station's thread
_MAX_PAYLOAD_BYTES = 16 * 1024  # a valid request has a few hundred
_MAX_VERB_LENGTH = 64  # characters of an unknown verb that an answer repeats

Reply = Callable[[str, bytes, bytes | None], object]  # topic, payload, correlation data


class Commander:
    """The MQTT thread calls `received`, the station's thread calls `run_pending`.

    reply      publishes an answer; returns False when it drops the answer
    overrides  keeps a threshold that a command sets
    clock      seconds, monotonic
    answered   keeps over a restart which commands were carried out; None: nothing does
    counts     requests by outcome: done, failed, refused, repeated, unanswerable, overflow; and unsent answers
    The commander refuses a request that is retained, too large, expired, malformed, one too many in a minute, or of a
    verb that is not enabled. The answer says why. It only counts and logs a request without a usable response topic.
    """

    def __init__(
        self,
        settings: CommandsSection,
        topics: Topics,
        actions: Actions,
        reply: Reply,
        overrides: Overrides,
        clock: Callable[[], float] = time.monotonic,
        answered: AnsweredFile | None = None,
    ) -> None:
        self._settings, self._topics, self._actions = settings, topics, actions
        self._reply, self._overrides, self._clock = reply, overrides, clock
        self._queue: queue.Queue[tuple[float, Received]] = queue.Queue(_QUEUE_SIZE)
        self._local: queue.Queue[LocalRequest] = queue.Queue(_QUEUE_SIZE)
        self._cache = AnswerCache(clock, answered)
        self._recent: deque[float] = deque()  # when the requests of the last minute arrived
        self._refusal_log = RateLimitedLog(_log)
        self.counts: Counter[str] = Counter()

    @property
    def topic_filter(self) -> str | None:
        """The topic filter of commands; None when no verb is enabled."""
        return self._topics.command("+") if self._settings.verbs else None

    def received(self, item: Received) -> None:
        """Queue a request. Never blocks or raises. For the MQTT thread."""
        if item.topic == self._topics.command_probe:
            return
        try:
            self._queue.put_nowait((self._clock(), item))
        except queue.Full:
            self.counts["overflow"] += 1

    def ask(self, local: LocalRequest) -> None:
        """Queue a request of the page. Never blocks. Raises CommandError when too many wait. Any thread may call."""
        try:
            self._local.put_nowait(local)
        except queue.Full:
            raise CommandError(f"{_QUEUE_SIZE} requests wait already; try again later") from None

    def run_pending(self) -> None:
        """Run the queued requests and answer them. Never raises. For the station's thread, between frames."""
        while not self._local.empty():
            self._run_local(self._local.get_nowait())
        for _ in range(_QUEUE_SIZE):
            try:
                received_at, item = self._queue.get_nowait()
            except queue.Empty:
                return
            try:
                self._handle(item, received_at)
            except Exception:
                _log.exception("a command was not handled")
                self.counts["failed"] += 1

    def _handle(self, item: Received, received_at: float) -> None:
        commands = self._topics.command("")
        verb = item.topic.removeprefix(commands)
        try:
            if not item.topic.startswith(commands):
                raise CommandError("its topic is not one for commands")
            address = reply_address(item, self._topics)
        except CommandError as error:
            self._count_and_log("unanswerable", verb, error)
            return
        fingerprint = (verb, item.payload)
        try:
            self._check(item, received_at, address, verb)
            repeated = self._cache.contains(address, fingerprint)
            request = parse_request(verb, item.payload)
        except CommandError as error:
            self._count_and_log("refused", verb, error)
            self._send(address, failed(self._topics.station, verb[:_MAX_VERB_LENGTH], str(error)))
            return
        if repeated:
            self._repeat(address)
            return
        self._cache.add(address, fingerprint)
        requester = requester_of(item, request)
        self._run(verb, request, requester, lambda outcome: self._finish(verb, requester, address, outcome))

    def _check(self, item: Received, received_at: float, address: ReplyAddress, verb: str) -> None:
        """Raise CommandError for a request whose payload is not worth parsing."""
        settings, now = self._settings, self._clock()
        while self._recent and now - self._recent[0] >= 60.0:
            self._recent.popleft()
        if len(self._recent) >= settings.max_per_minute:
            raise CommandError(f"more than {settings.max_per_minute} requests in a minute; try again later")
        self._recent.append(now)
        if item.retained:
            raise CommandError("it is retained; send commands without the retain flag")
        if verb not in settings.verbs:
            allowed = ", ".join(settings.verbs)
            raise CommandError(f"this station does not allow the command {verb[:_MAX_VERB_LENGTH]!r}, only: {allowed}")
        if len(item.payload) > _MAX_PAYLOAD_BYTES:
            raise CommandError(f"its payload is larger than {_MAX_PAYLOAD_BYTES} bytes")
        if item.expiry is not None and now - received_at >= item.expiry:
            raise CommandError("it expired before the station could run it")
        if address.correlation is None:
            raise CommandError("it has no correlation data, or more than 128 bytes of it; every request needs its own")

    def _repeat(self, address: ReplyAddress) -> None:
        self.counts["repeated"] += 1
        answer = self._cache.answer(address)
        if answer is not None:
            self._send(address, answer)

    def _run_local(self, local: LocalRequest) -> None:
        if not local.outcome.set_running_or_notify_cancel():
            return

        def finish(outcome: Result | LatentlineError) -> None:
            self._log_outcome(local.verb, local.who, outcome)
            local.finish(outcome)

        self._run(local.verb, local.request, local.who, finish)

    def _run(self, verb: str, request: Request, requester: str, finish: Finish) -> None:
        """Run one command and call `finish` with what came of it; at once, unless it loads or fetches a package."""
        try:
            if isinstance(request, ModelRequest) and self._settings.models is None:
                raise CommandError("the station has no folder of packages; give it one as commands.models")
            if isinstance(request, ModelRequest):
                self._actions.switch_model(request.name, request.sha256, finish)
                return
            if isinstance(request, RevertRequest):
                self._actions.revert_model(request.sha256, finish)
                return
            if isinstance(request, FetchRequest):
                self._actions.fetch_package(request.name, request.sha256, finish)
                return
            finish(self._result(verb, request, requester))
        except LatentlineError as error:
            finish(error)
        except Exception as error:
            _log.exception("the command %s failed", verb)
            finish(CommandError(f"the station failed ({type(error).__name__}); its log has the details"))

    def _result(self, verb: str, request: Request, requester: str) -> Result:
        actions = self._actions
        if isinstance(request, CaptureRequest):
            return {"cameras": actions.capture(request.camera)}
        if isinstance(request, ThresholdRequest):
            return self._set_threshold(request.value, requester)
        if verb == "diagnostics":
            return actions.diagnostics()
        (actions.pause if verb == "pause" else actions.resume)()
        return {"paused": verb == "pause"}

    def _set_threshold(self, value: float, requester: str) -> Result:
        bounds = self._settings.threshold
        if bounds is None:
            raise CommandError("the station has no bounds for the threshold; give them as commands.threshold")
        if not bounds.minimum <= value <= bounds.maximum:
            raise CommandError(
                f"{value:g} is not within this station's bounds, {bounds.minimum:g} to {bounds.maximum:g}"
            )
        # Save first: a threshold that the next restart would undo must not take effect.
        self._overrides.set_threshold(value, self._actions.identity.sha256, requester)
        old, new = self._actions.set_threshold(value)
        return {"old": old, "new": new, "who": requester}

    def _finish(self, verb: str, requester: str, address: ReplyAddress, outcome: Result | LatentlineError) -> None:
        if isinstance(outcome, LatentlineError):
            answer = failed(self._topics.station, verb, mask_credentials(str(outcome)))
        else:
            answer = self._encode(verb, outcome)
        self._log_outcome(verb, requester, outcome)
        self._cache.set_answer(address, answer)
        self._send(address, answer)

    def _log_outcome(self, verb: str, requester: str, outcome: Result | LatentlineError) -> None:
        if isinstance(outcome, LatentlineError):
            self.counts["failed"] += 1
            _audit.warning("command %s by %s failed: %s", verb, requester, mask_credentials(str(outcome)))
        else:
            self.counts["done"] += 1
            details = "" if verb == "diagnostics" else f": {dict(outcome)}"
            _audit.info("command %s by %s done%s", verb, requester, details)

    def _encode(self, verb: str, result: Mapping[str, Any]) -> bytes:
        try:
            return succeeded(self._topics.station, verb, result)
        except (TypeError, ValueError) as error:
            _log.exception("the answer to %s is not JSON", verb)
            return failed(self._topics.station, verb, f"the station ran it, but cannot encode the answer ({error})")

    def _send(self, address: ReplyAddress, answer: bytes) -> None:
        if self._reply(address.topic, answer, address.correlation) is False:
            self.counts["unsent"] += 1

    def _count_and_log(self, kind: str, verb: str, error: CommandError) -> None:
        self.counts[kind] += 1
        self._refusal_log.warning(f"command {verb[:_MAX_VERB_LENGTH]!r} {kind}: {mask_credentials(str(error)):.300}")
