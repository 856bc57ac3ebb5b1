"""Runs the commands that come over MQTT: at most once each, in the station's own thread, always with an answer."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable

from edge_runtime.commands.actions import Actions
from edge_runtime.commands.persisted import Persisted
from edge_runtime.commands.settings import CommandsSection
from edge_runtime.mqtt.packets import Received
from edge_runtime.mqtt.topics import Topics

_log = logging.getLogger(__name__)
Reply = Callable[[str, bytes, bytes], object]  # topic, payload, correlation data


class Commander:
    """Between the MQTT thread, which calls `received`, and the station's, which calls `run_pending`.

    reply      publishes an answer; may drop it
    persisted  remembers a threshold that was set
    clock      seconds, monotonic
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
        self.counts: Counter[str] = Counter()  # what became of requests: done, failed, refused, retained, …

    @property
    def topic_filter(self) -> str | None:
        """What to subscribe to; None when no verb is enabled."""
        return self._topics.command("+") if self._settings.verbs else None

    def received(self, item: Received) -> None:
        """Take a request; never blocks, never raises. For the MQTT thread."""
        raise NotImplementedError

    def run_pending(self) -> None:
        """Run what was taken, and answer. For the station's thread, between frames; never raises."""
        raise NotImplementedError
