"""The station: cameras -> inspector (this thread) -> spool -> publisher, watched by the supervisor."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import cast

from edge_runtime.cameras.base import Camera
from edge_runtime.cameras.feeds import Feeds
from edge_runtime.commands.commander import Commander
from edge_runtime.commands.model_switch import ModelSwitch
from edge_runtime.commands.models import prepare_package
from edge_runtime.commands.persisted import Persisted
from edge_runtime.config import StationConfig
from edge_runtime.frames.drift_watch import DriftWatch
from edge_runtime.frames.frame_inspector import FrameInspector
from edge_runtime.frames.pipeline import FramePipeline
from edge_runtime.frames.reports import FrameReporter, Observer
from edge_runtime.frames.summary import Summary
from edge_runtime.mqtt.publisher import Publisher
from edge_runtime.mqtt.spool.spool import Spool
from edge_runtime.pacing import Backoff
from edge_runtime.station.actions import StationActions
from edge_runtime.station.announcer import Announcer
from edge_runtime.station.from_config import broker_of, persisted_of, secrets_of
from edge_runtime.station.reload import Reload
from edge_runtime.station.services import Parts
from edge_runtime.supervision.guards import MemoryExhaustedError
from edge_runtime.supervision.logs import configure_log
from edge_runtime.supervision.snapshot import Snapshot
from edge_runtime.supervision.state import Health, State
from edge_runtime.supervision.supervisor import Supervisor
from latentline.backends.settings import Backend
from latentline.package.identity import ModelIdentity

_log = logging.getLogger(__name__)
_TICK_SECONDS = 0.2  # how soon `stop` is noticed
_WATCH_SECONDS = 1.0  # between two looks at what no call reports
_FIRST_TRY_SECONDS = 12.0  # for the first connection: socket and greeting, with their own limits, and a little
_FIRST_PAUSE_SECONDS = 1.0  # after a connection failed or broke; the next pauses double
_STOP_SECONDS = 0.7  # for the cameras to end, and for the spool to drain, when the station was told to stop


class Station:
    """Cameras, one inspector, one broker.

    inspector  the station's from now on: `run` closes it, or what a command put in its place
    cameras    what makes a camera, by its id, instead of the configuration
    observer   called after each inspected frame, in the inspector's thread; its faults are logged and change nothing
    persisted  what commands have set; unset: read from beside the spool
    path       of the configuration, for `reload`
    """

    def __init__(
        self,
        config: StationConfig,
        inspector: FrameInspector,
        *,
        cameras: Mapping[str, Callable[[], Camera]] | None = None,
        observer: Observer | None = None,
        persisted: Persisted | None = None,
        path: Path | None = None,
    ) -> None:
        self._config, self._inspector, self._observer, self._path = config, inspector, observer, path
        self.health = Health(self._say_status)
        self._announcer = Announcer(config)
        self._feeds = Feeds(config.cameras, self.health.fault, cameras=cameras)
        self._broker = broker_of(config)
        self._persisted = persisted or persisted_of(config)
        self._begun = time.monotonic()
        self._stopping = False
        self._exhausted: str | None = None
        self._parts: Parts | None = None
        self.summary = Summary()

    def stop(self) -> None:
        """End after the frame in work. Only sets a flag, so a signal handler may call it."""
        self._stopping = True

    def reload(self) -> None:
        """Read the configuration again between two frames. Only sets a flag, so a signal handler may call it."""
        if self._parts is not None:
            self._parts.reload.ask()

    def run(self) -> Summary:
        """Inspect until the cameras end or `stop`; then send what is spooled and say `stopped`.

        Raises ConfigError (spool), CameraError (a camera that has an end failed; after a clean end), BrokerError
        (refuses us at the first connection) and MemoryExhaustedError. A live camera and a broker that are absent are
        waited for.
        """
        with ExitStack() as stack:
            parts = self._parts = self._assemble(stack)
            parts.supervisor.start()
            stack.callback(parts.supervisor.close)
            parts.publisher.start()
            stack.callback(self._end, parts)
            self._feeds.start()
            self._wait_for_broker(parts.publisher)
            parts.supervisor.ready()
            self._inspect_all(parts)
        _log.info("%s", self.summary)
        if self._exhausted is not None:
            raise MemoryExhaustedError(self._exhausted)
        if self._feeds.error is not None:
            raise self._feeds.error
        return self.summary

    def _wait_for_broker(self, publisher: Publisher) -> None:
        """Until the first connection stands or failed. Raises BrokerError when the broker refuses this client."""
        deadline = time.monotonic() + _FIRST_TRY_SECONDS
        while not publisher.wait_first_try(_TICK_SECONDS) and not self._stopping and time.monotonic() < deadline:
            pass

    def snapshot(self) -> Snapshot:
        """The station at this moment; any thread may ask while it runs."""
        assert self._parts is not None
        uptime = time.monotonic() - self._begun
        return self._parts.snapshot(self.health, self._feeds, self.summary, uptime)

    def _assemble(self, stack: ExitStack) -> Parts:
        config, fault, inspector = self._config, self.health.fault, self._inspector
        mqtt, limits = config.mqtt, config.spool
        folder = config.commands.models or config.model.parent
        prepare = partial(prepare_package, backend=cast("Backend", inspector.identity.backend), gpu=config.gpu)
        switch = ModelSwitch(folder, inspector, prepare, self._persisted.set_model)
        stack.callback(switch.close)
        age = None if limits.max_days is None else limits.max_days * 86400
        size = None if limits.max_mib is None else limits.max_mib << 20
        spool = Spool(limits.path, limits.max_events, size, age)
        stack.callback(spool.close)
        supervisor = Supervisor(
            config.station.id, config.supervision, self.health, self.snapshot, limits.path, self._end_for_memory
        )
        pauses = Backoff(min(_FIRST_PAUSE_SECONDS, mqtt.reconnect_max_seconds), mqtt.reconnect_max_seconds)
        publisher = Publisher(self._broker, spool, self._announcer.will, pauses, fault, supervisor.sender)
        self._announcer.begin(publisher, spool)
        threshold = self._threshold_of(inspector.identity)
        pipeline = FramePipeline(inspector, threshold, self.summary, supervisor.inspector, fault, self._feeds.done)
        drift = DriftWatch(config.drift, fault)
        actions = StationActions(
            self._feeds, pipeline, drift, self._announcer, switch, self.snapshot, self._threshold_of, fault
        )
        commander = Commander(config.commands, self._announcer.topics, actions, publisher.reply, self._persisted)
        if commander.topic_filter is not None:
            publisher.subscribe(commander.topic_filter, commander.received)
        reporter = FrameReporter(
            config,
            self._announcer,
            spool,
            publisher,
            drift,
            self.summary,
            supervisor.spool,
            fault,
            self._feeds.done,
            self._observer,
        )
        reload = Reload(self._path or Path(), config, fault, supervisor.systemd)
        drift.begin(inspector, pipeline.threshold)
        self._announcer.birth(inspector.identity, pipeline.threshold)
        self._announcer.status(self.health.state, self.health.faults)
        fault("spool_file", spool.set_aside)
        fault("commands_file", self._persisted.set_aside)
        return Parts(spool, publisher, supervisor, pipeline, reporter, drift, switch, actions, commander, reload)

    def _inspect_all(self, parts: Parts) -> None:
        pipeline = parts.pipeline
        lossless = {camera.id: camera.lossless for camera in self._config.cameras}
        watch_at = 0.0
        while True:
            full_stop = self._stopping or parts.switch.ready  # a model is switched when no frame is in work
            frame = None if full_stop else self._feeds.get(0.0 if len(pipeline) else _TICK_SECONDS)
            if frame is not None:
                pipeline.begin(frame)
            # A live camera's frame is finished before the next is begun: that one would only grow old beside it.
            ahead = pipeline.inspector.ahead if frame is not None and lossless[frame.camera] else 1
            if len(pipeline) and (frame is None or len(pipeline) >= ahead):
                inspected = pipeline.finish()
                if inspected is not None:
                    parts.reporter.report(inspected, pipeline.inspector.identity)
            elif frame is None and (self._stopping or self._feeds.ended):
                return
            self._obey(parts)
            if (now := time.monotonic()) >= watch_at:
                watch_at = now + _WATCH_SECONDS
                self._watch(parts, now)

    def _obey(self, parts: Parts) -> None:
        """Between two frames: commands, another configuration, another model."""
        parts.commander.run_pending()
        if parts.switch.ready and not len(parts.pipeline):
            with parts.supervisor.inspector.working():
                inspector = parts.switch.run_pending()
            if inspector is not None:
                parts.actions.use(inspector)
        changes = parts.reload.run_pending()
        if changes is not None:
            running = self._config = parts.reload.running
            if "threshold" in changes.applied:
                parts.actions.set_threshold(running.threshold, "the configuration")
            if any(name.split(".")[0] == "drift" for name in changes.applied):
                parts.drift.change(running.drift, parts.pipeline.inspector, parts.pipeline.threshold)
            if any(name.split(".")[0] == "log" for name in changes.applied):
                configure_log(running.log, running.station.id, secrets=secrets_of(self._broker))

    def _threshold_of(self, model: ModelIdentity) -> float | None:
        """What a command set for this model, else what the configuration says; None: the package's own."""
        kept = self._persisted.threshold(model.sha256)
        return self._config.threshold if kept is None else kept

    def _watch(self, parts: Parts, now: float) -> None:
        """What no call reports: cameras, a spool that has room again, the `health` message that is due."""
        self._announcer.cameras(self._feeds.states())
        with parts.supervisor.spool.working():
            parts.reporter.watch()
        self._announcer.health(self.snapshot, self._config.supervision.health_seconds, now)

    def _say_status(self, state: State, faults: Mapping[str, str]) -> None:
        self._announcer.status(state, faults)

    def _end_for_memory(self, sentence: str) -> None:
        self._exhausted = sentence
        self._stopping = True

    def _end(self, parts: Parts) -> None:
        """Cameras, spool, last words: within three seconds when the station was told to stop."""
        parts.supervisor.stopping()
        self._feeds.close(_STOP_SECONDS)
        reports = self._feeds.states()
        self._announcer.cameras(reports)
        drain = self._config.mqtt.drain_seconds
        self._announcer.stopped(min(drain, _STOP_SECONDS) if self._stopping else drain)
        summary = self.summary
        summary.bad_images = sum(report.bad for report in reports.values())
        for report in reports.values():
            summary.dropped.update(report.dropped)
        summary.published = parts.publisher.published
        summary.waiting = len(parts.spool)
        summary.spool_dropped = sum(parts.spool.dropped.values())
