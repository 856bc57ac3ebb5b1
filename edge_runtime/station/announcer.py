"""Publishes the state of the station over MQTT: `status`, `birth`, `cam/{id}/status` and `health`."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping

from edge_runtime.cameras.report import CameraReport
from edge_runtime.config import StationConfig
from edge_runtime.mqtt.broker import Will
from edge_runtime.mqtt.events import Message, Messages, encode
from edge_runtime.mqtt.events import State as MessageState
from edge_runtime.mqtt.publisher import Publisher
from edge_runtime.mqtt.spool.spool import Spool
from edge_runtime.mqtt.topics import Topics
from edge_runtime.station.health_message import health_message
from edge_runtime.supervision.snapshot import Snapshot
from edge_runtime.supervision.state import State
from latentline.base.version import software_version
from latentline.package.identity import ModelIdentity

_HEALTH_PERIODS = 3  # lifetime of a health message, in periods


class Announcer:
    """Publishes the retained messages and `health`. Any thread may call; nothing here waits for a disk or a broker."""

    def __init__(self, config: StationConfig) -> None:
        self._config = config
        self.messages = Messages(config.station.id)
        self.topics = Topics(config.mqtt.root, config.station.id)
        self._cameras = threading.Lock()  # so that no older state of a camera follows a newer one
        self._published_cameras: dict[str, tuple[str, str | None]] = {}
        self._health_due = 0.0
        self._publisher: Publisher | None = None
        self._spool: Spool | None = None

    def start(self, publisher: Publisher, spool: Spool) -> None:
        """Publish through `publisher` from now on. Earlier calls publish nothing."""
        self._publisher, self._spool = publisher, spool

    def will(self) -> Will:
        """The message that the broker publishes when the station vanishes."""
        offline = encode(self._status("offline", {}))
        return Will(self.topics.status, offline, self._config.mqtt.will_delay_seconds)

    @property
    def status_seconds(self) -> int:
        """Lifetime of a status: it expires unless it is repeated."""
        return math.ceil(self._config.mqtt.will_delay_seconds + 1.5 * self._config.mqtt.keep_alive)

    def status(self, state: State, faults: Mapping[str, str]) -> None:
        """Publish the state of the station, retained, with a lifetime."""
        self._retain(self.topics.status, self._status(state, faults), self.status_seconds)

    def birth(self, model: ModelIdentity, threshold: float) -> None:
        """Publish what runs here, retained. Call it again when model or threshold change."""
        cameras = {
            camera.id: {"kind": camera.kind, "source": camera.shown, "every_frame": camera.lossless}
            for camera in self._config.cameras
        }
        verbs = self._config.commands.verbs
        self._retain(self.topics.birth, self.messages.birth(software_version(), model, threshold, cameras, verbs))

    def cameras(self, reports: Callable[[], Mapping[str, CameraReport]]) -> None:
        """Publish the state of each camera, retained, where it has changed."""
        with self._cameras:
            for name, report in reports().items():
                state = (report.state, report.reason)
                if self._published_cameras.get(name) != state:
                    self._published_cameras[name] = state
                    message = self.messages.camera_status(name, report)
                    self._retain(self.topics.camera_status(name), message)

    def health(self, snapshot: Callable[[], Snapshot], seconds: float | None, now: float) -> None:
        """Publish the snapshot every `seconds` (None: never); it expires after three times as long."""
        if seconds is None or now < self._health_due or self._publisher is None or not self._publisher.connected:
            return
        self._health_due = now + seconds
        payload = encode(health_message(self.messages, snapshot()))
        expiry = round(_HEALTH_PERIODS * seconds)
        self._publisher.send_once(self.topics.health, payload, content_type="application/json", expiry=expiry)

    def stopped(self, seconds: float) -> None:
        """Publish `stopped`, after at most `seconds` for the spool to drain."""
        if self._publisher is not None:
            message = self._status("stopped", {})
            self._publisher.close(self.topics.status, message, seconds)

    def _status(self, state: MessageState, faults: Mapping[str, str]) -> Message:
        spool = self._spool
        if spool is None:
            return self.messages.status(state, faults, {})
        return self.messages.status(state, faults, spool.dropped, spool.damaged, spool.dead_letters)

    def _retain(self, topic: str, message: Message, lifetime: int | None = None) -> None:
        if self._publisher is not None:
            self._publisher.retain(topic, message, lifetime)
