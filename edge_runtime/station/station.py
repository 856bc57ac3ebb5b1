"""The station: cameras -> inspector (this thread) -> spool -> publisher, watched by the supervisor."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

from edge_runtime.cameras.base import Camera
from edge_runtime.cameras.feeds import Feeds
from edge_runtime.commands.persisted import Persisted
from edge_runtime.config import StationConfig
from edge_runtime.frames.frame_inspector import FrameInspector
from edge_runtime.frames.reports import Observer
from edge_runtime.frames.summary import Summary
from edge_runtime.mqtt.publisher import Publisher
from edge_runtime.station.announcer import Announcer
from edge_runtime.station.wiring import Services, assemble, broker_of, persisted_of, secrets_of, take_snapshot
from edge_runtime.supervision.guards import MemoryExhaustedError
from edge_runtime.supervision.logs import configure_log
from edge_runtime.supervision.snapshot import Snapshot
from edge_runtime.supervision.state import Health, State
from latentline.package.identity import ModelIdentity

_log = logging.getLogger(__name__)
_TICK_SECONDS = 0.2  # how soon `stop` is noticed
_WATCH_SECONDS = 1.0  # between two looks at what no call reports
_FIRST_TRY_SECONDS = 12.0  # for the first connection: socket and greeting, with their own limits, and a little
_STOP_SECONDS = 0.7  # for the cameras to end, and for the spool to drain, when the station was told to stop


class Station:
    """Cameras, one inspector, one broker.

    inspector  the station's from now on: `run` closes it, or the one that a command put in its place
    cameras    what makes a camera, by its id, instead of the configuration
    observer   called after each inspected frame, in the inspector's thread; its exceptions are logged
    persisted  what commands have set; None: read from beside the spool
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
        self.health = Health(self._publish_status)
        self.announcer = Announcer(config)
        self.feeds = Feeds(config.cameras, self.health.fault, cameras=cameras)
        self.summary = Summary()
        self._broker = broker_of(config)
        self._persisted = persisted or persisted_of(config)
        self._started = time.monotonic()
        self._stopping = False
        self._exhausted: str | None = None
        self._services: Services | None = None

    def stop(self) -> None:
        """End after the frame in work. Only sets a flag, so a signal handler may call it."""
        self._stopping = True

    def reload(self) -> None:
        """Read the configuration again between two frames. Only sets a flag, so a signal handler may call it."""
        if self._services is not None:
            self._services.reload.ask()

    def run(self) -> Summary:
        """Inspect until the cameras end or `stop`; then send what is in the spool and publish `stopped`.

        Raises ConfigError (spool), CameraError (a camera that has an end failed; after a clean end), BrokerError (the
        broker refuses the first connection) and MemoryExhaustedError. The station waits for a live camera or a broker
        that is absent.
        """
        with ExitStack() as stack:
            services = self._services = assemble(
                self._config, self._inspector, self, self._broker, self._persisted, self._observer, self._path, stack
            )
            self._announce(services)
            services.supervisor.start()
            stack.callback(services.supervisor.close)
            services.publisher.start()
            stack.callback(self._end, services)
            self.feeds.start()
            self._wait_for_broker(services.publisher)
            services.supervisor.ready()
            self._inspect_all(services)
        _log.info("%s", self.summary)
        if self._exhausted is not None:
            raise MemoryExhaustedError(self._exhausted)
        if self.feeds.error is not None:
            raise self.feeds.error
        return self.summary

    def snapshot(self) -> Snapshot:
        """The station at this moment; any thread may ask while it runs."""
        assert self._services is not None
        return take_snapshot(self, self._services, time.monotonic() - self._started)

    def threshold_of(self, model: ModelIdentity) -> float | None:
        """What a command set for this model, else what the configuration says; None: the package's own."""
        kept = self._persisted.threshold(model.sha256)
        return self._config.threshold if kept is None else kept

    def end_for_memory(self, sentence: str) -> None:
        """End after the frame in work; `run` then raises MemoryExhaustedError with `sentence`."""
        self._exhausted = sentence
        self._stopping = True

    def _announce(self, services: Services) -> None:
        """The first messages, which go out with the first connection."""
        pipeline = services.pipeline
        self.announcer.begin(services.publisher, services.spool)
        services.drift.restart(pipeline.inspector, pipeline.threshold)
        self.announcer.birth(pipeline.inspector.identity, pipeline.threshold)
        self.announcer.status(self.health.state, self.health.faults)
        self.health.fault("spool_file", services.spool.set_aside)
        self.health.fault("commands_file", self._persisted.set_aside)

    def _wait_for_broker(self, publisher: Publisher) -> None:
        """Until the first connection stands or failed. Raises BrokerError when the broker refuses this client."""
        deadline = time.monotonic() + _FIRST_TRY_SECONDS
        while not publisher.wait_first_try(_TICK_SECONDS) and not self._stopping and time.monotonic() < deadline:
            pass

    def _inspect_all(self, services: Services) -> None:
        pipeline = services.pipeline
        lossless = {camera.id: camera.lossless for camera in self._config.cameras}
        watch_at = 0.0
        while True:
            full_stop = self._stopping or services.switch.ready  # a model is switched when no frame is in work
            frame = None if full_stop else self.feeds.get(0.0 if len(pipeline) else _TICK_SECONDS)
            if frame is not None:
                pipeline.submit(frame)
            # Finish a live camera's frame before the next begins: that one would only grow old beside it.
            ahead = pipeline.inspector.ahead if frame is not None and lossless[frame.camera] else 1
            if len(pipeline) and (frame is None or len(pipeline) >= ahead):
                inspected = pipeline.collect()
                if inspected is not None:
                    services.reporter.report(inspected, pipeline.inspector.identity)
            elif frame is None and (self._stopping or self.feeds.ended):
                return
            self._between_frames(services)
            if (now := time.monotonic()) >= watch_at:
                watch_at = now + _WATCH_SECONDS
                self._watch(services, now)

    def _between_frames(self, services: Services) -> None:
        """Carry out commands; take up another model or configuration."""
        services.commander.run_pending()
        if services.switch.ready and not len(services.pipeline):
            with services.supervisor.inspector.working():
                inspector = services.switch.run_pending()
            if inspector is not None:
                services.actions.use(inspector)
        changes = services.reload.run_pending()
        if changes is not None:
            self._take_up(services, {name.split(".")[0] for name in changes.applied})

    def _take_up(self, services: Services, changed: set[str]) -> None:
        """The settings of a reloaded configuration that a running station can change, by section."""
        running = self._config = services.reload.running
        if "threshold" in changed:
            services.actions.set_threshold(running.threshold, "the configuration")
        if "drift" in changed:
            services.drift.change_settings(running.drift, services.pipeline.inspector, services.pipeline.threshold)
        if "log" in changed:
            configure_log(running.log, running.station.id, secrets=secrets_of(self._broker))

    def _watch(self, services: Services, now: float) -> None:
        """What no call reports: cameras, a spool that has room again, the `health` message that is due."""
        self.announcer.cameras(self.feeds.states())
        with services.supervisor.spool.working():
            services.reporter.check_spool()
        self.announcer.health(self.snapshot, self._config.supervision.health_seconds, now)

    def _publish_status(self, state: State, faults: Mapping[str, str]) -> None:
        self.announcer.status(state, faults)

    def _end(self, services: Services) -> None:
        """Close cameras, drain the spool, publish `stopped`: within three seconds when told to stop."""
        services.supervisor.stopping()
        self.feeds.close(_STOP_SECONDS)
        reports = self.feeds.states()
        self.announcer.cameras(reports)
        drain = self._config.mqtt.drain_seconds
        self.announcer.stopped(min(drain, _STOP_SECONDS) if self._stopping else drain)
        summary = self.summary
        summary.bad_images = sum(report.bad for report in reports.values())
        for report in reports.values():
            summary.dropped.update(report.dropped)
        summary.published = services.publisher.published
        summary.waiting = len(services.spool)
        summary.spool_dropped = sum(services.spool.dropped.values())
