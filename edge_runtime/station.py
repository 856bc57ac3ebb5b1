"""The station: camera thread -> inspector (this thread) -> spool -> publisher."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

from edge_runtime.backoff import Backoff
from edge_runtime.cameras.base import Camera, Frame
from edge_runtime.cameras.factory import make_camera
from edge_runtime.cameras.feed import CameraFeed
from edge_runtime.config import MqttSection, StationConfig, read_password
from edge_runtime.health import Health
from edge_runtime.judging import Inspector, Judged, Judging
from edge_runtime.mqtt.connection import Broker, Will
from edge_runtime.mqtt.events import Messages, encode
from edge_runtime.mqtt.publisher import Publisher
from edge_runtime.mqtt.spool import Spool
from edge_runtime.mqtt.topics import Topics
from edge_runtime.summary import Summary
from latentline.inspection import Inspection
from latentline.strict_config import mask_credentials
from latentline.version import software_version

_log = logging.getLogger(__name__)
_TICK_SECONDS = 0.2  # how soon `stop` and a stalled camera are noticed
_FIRST_TRY_SECONDS = 12.0  # for the first connection: socket and greeting, with their own limits, and a little

Observer = Callable[[Frame, Inspection], None]


class Station:
    """One camera, one inspector, one broker.

    camera    unset: the one the configuration describes
    observer  called after each inspected frame, in the inspector's thread; its faults are logged and change nothing
    The inspector stays the caller's to close.
    """

    def __init__(
        self,
        config: StationConfig,
        inspector: Inspector,
        *,
        camera: Camera | None = None,
        observer: Observer | None = None,
    ) -> None:
        self._config = config
        self._inspector = inspector
        self._observer = observer
        self._messages = Messages(config.station.id)
        self._topics = Topics(config.mqtt.root, config.station.id)
        self._health = Health(self._publish_health)
        self._feed = CameraFeed(
            camera or make_camera(config.cameras[0]),
            lossless=config.cameras[0].lossless,
            live=config.cameras[0].live,
            backoff=Backoff(config.cameras[0].reopen_seconds, config.cameras[0].reopen_max_seconds),
            on_fault=lambda sentence: self._health.fault("camera", sentence),
        )
        self._broker = broker_of(config)
        self._stopping = False
        self._camera_said: tuple[str, str | None] | None = None
        self._spool_dropped = 0
        self.summary = Summary()

    def stop(self) -> None:
        """End after the frame in work. Only sets a flag, so a signal handler may call it."""
        self._stopping = True

    def run(self) -> Summary:
        """Inspect until the camera ends or `stop`; then send what is spooled and say `stopped`.

        Raises ConfigError (spool), CameraError (does not open; or a camera that is not live failed, after a clean end)
        and BrokerError (refuses us at the first connection). A broker that is absent is waited for while frames are
        inspected.
        """
        with ExitStack() as stack:
            self._spool = Spool(self._config.spool.path, self._config.spool.max_events)
            stack.callback(self._spool.close)
            self._spool_dropped = self._spool.dropped
            mqtt = self._config.mqtt
            pauses = Backoff(mqtt.reconnect_seconds, mqtt.reconnect_max_seconds)
            self._publisher = Publisher(self._broker, self._spool, self._will, pauses, self._health.fault)
            self._feed.start()
            stack.callback(self._feed.close)
            self._announce()
            self._publisher.start()
            stack.callback(self._say_stopped)
            self._publisher.wait_first_try(_FIRST_TRY_SECONDS)
            self._inspect_all()
        _log.info("%s", self.summary)
        if self._feed.error is not None:
            raise self._feed.error
        return self.summary

    def _inspect_all(self) -> None:
        # A live camera's frame is begun when no other is: beside one in work it would only grow old.
        ahead = self._inspector.ahead if self._config.cameras[0].lossless else 1
        judging = Judging(self._inspector, self._config.threshold, self.summary, self._health.fault)
        while True:
            frame = None if self._stopping else self._feed.get(0.0 if len(judging) else _TICK_SECONDS)
            if frame is not None:
                judging.begin(frame)
            if len(judging) and (frame is None or len(judging) >= ahead):
                self._report(judging.finish())
            elif frame is None and (self._stopping or self._feed.ended):
                return
            self._watch()

    def _report(self, judged: Judged | None) -> None:
        if judged is None:
            return
        frame, inspection, wait_ms = judged.frame, judged.inspection, judged.wait_ms
        if inspection.abnormal:
            self.summary.abnormal += 1
            self._spool_event(frame, inspection, wait_ms)
        if self._config.mqtt.results:
            result = self._messages.result(frame, inspection, wait_ms)
            self._publisher.result(self._topics.result(frame.camera), result)
        self._observe(frame, inspection)

    def _spool_event(self, frame: Frame, inspection: Inspection, wait_ms: float) -> None:
        event = self._messages.defect(frame, inspection, self._inspector.identity, wait_ms)
        try:
            self._spool.append(self._topics.defect(frame.camera), event)
        except (sqlite3.Error, ValueError) as error:
            self.summary.lost += 1
            self._health.fault("disk", f"an event could not be written to {self._config.spool.path} ({error})")
            return
        self.summary.events += 1
        self._health.fault("disk", None)
        if (dropped := self._spool.dropped) > self._spool_dropped:
            self._spool_dropped = dropped
            limit = self._config.spool.max_events
            self._health.fault("spool", f"the spool is full ({limit} events): the oldest are dropped")
        self._publisher.appended()

    def _observe(self, frame: Frame, inspection: Inspection) -> None:
        if self._observer is None:
            return
        try:
            self._observer(frame, inspection)
        except Exception:
            _log.exception("the observer failed on %s", frame.source)

    def _watch(self) -> None:
        """Notice what no call reports: a camera that hangs, a spool that has room again."""
        camera = self._config.cameras[0]
        faults = self._health.faults
        may_stall = camera.live and not camera.watch and "camera" not in faults
        if may_stall and self._feed.silent_seconds > camera.stall_seconds:
            sentence = f"camera {camera.id} is stalled: no frame for more than {camera.stall_seconds:g} s"
            self._health.fault("camera", sentence)
        if "spool" in faults and len(self._spool) < 0.9 * self._config.spool.max_events:
            self._health.fault("spool", None)

    def _announce(self) -> None:
        identity = self._inspector.identity
        camera = self._config.cameras[0]
        threshold = self._config.threshold if self._config.threshold is not None else identity.threshold
        about = {"kind": camera.kind, "source": mask_credentials(str(camera.source)), "every_frame": camera.lossless}
        birth = self._messages.birth(software_version(), identity, threshold, {camera.id: about})
        self._publisher.retain(self._topics.birth, birth)
        self._publish_health(self._health.faults)
        if self._spool.set_aside:
            self._health.fault("spool_file", self._spool.set_aside)

    def _publish_health(self, faults: Mapping[str, str]) -> None:
        state = self._messages.status("degraded" if faults else "online", faults, self._spool_dropped)
        self._publisher.retain(self._topics.status, state)
        self._publish_camera("failing" if "camera" in faults else "ok", faults.get("camera"))

    def _publish_camera(self, state: Any, reason: str | None) -> None:
        if self._camera_said == (state, reason):
            return
        self._camera_said = (state, reason)
        camera = self._config.cameras[0].id
        counts = {"frames": self._feed.frames, "bad": self._feed.bad_frames, "dropped": self._feed.dropped.total()}
        message = self._messages.camera_status(camera, state, reason, counts)
        self._publisher.retain(self._topics.camera_status(camera), message)

    def _will(self) -> Will:
        offline = encode(self._messages.status("offline", {}, self._spool_dropped))
        return Will(self._topics.status, offline, self._config.mqtt.will_delay_seconds)

    def _say_stopped(self) -> None:
        self._feed.close()
        self._publish_camera("ended", str(self._feed.error) if self._feed.error else None)
        stopped = self._messages.status("stopped", {}, self._spool_dropped)
        self._publisher.close(self._topics.status, stopped, self._config.mqtt.drain_seconds)
        summary = self.summary
        summary.bad_images = self._feed.bad_frames
        summary.dropped = self._feed.dropped
        summary.published = self._publisher.published
        summary.waiting = len(self._spool)
        summary.spool_dropped = self._spool.dropped


def broker_of(config: StationConfig) -> Broker:
    """How to reach the broker of `config`. Raises ConfigError when the password cannot be read."""
    mqtt: MqttSection = config.mqtt
    return Broker(
        mqtt.host,
        mqtt.broker_port,
        config.client_id,
        mqtt.username,
        read_password(mqtt),
        mqtt.tls,
        mqtt.keep_alive,
    )
