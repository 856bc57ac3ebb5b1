"""The station: cameras -> inspector (this thread) -> spool -> publisher, watched by the supervisor."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

from edge_runtime.cameras.base import Camera
from edge_runtime.cameras.feeds import Feeds
from edge_runtime.cameras.report import CameraReport
from edge_runtime.cameras.work_journal import WorkJournal
from edge_runtime.commands.overrides import Overrides
from edge_runtime.commands.trust import Trust
from edge_runtime.config import StationConfig
from edge_runtime.frames.frame_inspector import FrameInspector
from edge_runtime.frames.reports import Observer
from edge_runtime.frames.summary import Summary
from edge_runtime.page.fault_history import FaultHistory
from edge_runtime.station.announcer import Announcer
from edge_runtime.station.command_warning import command_warning
from edge_runtime.station.configured import broker_of, load_overrides, secrets_of, trust_of
from edge_runtime.station.services import Services
from edge_runtime.station.snapshots import camera_reports, take_snapshot
from edge_runtime.station.wiring import assemble
from edge_runtime.supervision.logs import configure_log
from edge_runtime.supervision.restart import RestartNeededError
from edge_runtime.supervision.snapshot import Snapshot
from edge_runtime.supervision.state import Health, State
from latentline.errors import SpoolError
from latentline.package.identity import ModelIdentity

_log = logging.getLogger(__name__)
_TICK_SECONDS = 0.2  # longest time until the loop notices `stop`
_POLL_SECONDS = 1.0  # time between two looks at spool and supervisor
_FIRST_TRY_SECONDS = 12.0  # for the first connection: the limits for socket and CONNACK, and a margin
_ARCHIVE_SECONDS = 30.0  # for the pictures that wait to be archived, at the end of the input
_STOP_SECONDS = 0.7  # after `stop`: for the cameras to end, and again for the spool to drain


class Station:
    """Cameras, one inspector, one broker.

    inspector  belongs to the station from now on: `run` closes it, or the one that a command has put in its place
    cameras    makes a camera by its id, in place of the one in the configuration
    observer   called after each inspected frame, in the inspector's thread; the station logs its exceptions
    overrides  what commands have set; None: read the file beside the spool
    trust      has admitted the model of `inspector`; None: make one of the configuration
    path       of the configuration file, for `reload`
    """

    def __init__(
        self,
        config: StationConfig,
        inspector: FrameInspector,
        *,
        cameras: Mapping[str, Callable[[], Camera]] | None = None,
        observer: Observer | None = None,
        overrides: Overrides | None = None,
        trust: Trust | None = None,
        path: Path | None = None,
    ) -> None:
        self._config, self._inspector, self._observer, self._path = config, inspector, observer, path
        self.faults = FaultHistory()
        self.health = Health(self._publish_status)
        self.announcer = Announcer(config)
        self.work = WorkJournal(config.spool.path.with_suffix(".work"))
        self.feeds = Feeds(config.cameras, self.health.fault, cameras=cameras, beside=config.spool.path, work=self.work)
        self.summary = Summary()
        self._broker = broker_of(config)
        self._overrides = overrides or load_overrides(config)
        self._trust = trust or trust_of(config)
        self._started = time.monotonic()
        self._stopping = False
        self._restart: str | None = None
        self._services: Services | None = None
        self._given_up_before = 0  # events of earlier runs
        self.ending = threading.Event()
        self._end_once = threading.Lock()
        self._ended = False

    def stop(self) -> None:
        """Stop after the frame in work. Only sets a flag, so a signal handler may call it."""
        self._stopping = True

    def reload(self) -> None:
        """Read the configuration again after this frame. Only sets a flag, so a signal handler may call it."""
        if self._services is not None:
            self._services.reload.request()

    def abandon(self) -> None:
        """End the station from another thread, without the frame in work, which may hang. Then end the process."""
        if (services := self._services) is not None:
            self._end(services)
            _log.info("%s", self.summary)

    def run(self) -> Summary:
        """Inspect until the cameras end or `stop`; then send the events in the spool and publish `stopped`.

        Raises ConfigError (spool), CameraError (a camera with an end, such as a folder, failed), BrokerError (the
        broker refuses the first connection), SpoolError (the input has ended and events are lost) and
        RestartNeededError. An absent live camera or broker is a fault, and the station waits for it.
        """
        with ExitStack() as stack:
            services = self._services = assemble(
                self._config,
                self._inspector,
                self,
                self._broker,
                self._overrides,
                self._trust,
                self._observer,
                self._path,
                stack,
            )
            self._given_up_before = services.spool.given_up
            if (sentence := command_warning(self._config)) is not None:
                _log.warning("%s", sentence)
            self._announce(services)
            services.supervisor.start(services.publisher.thread, *services.own_threads, *self.feeds.threads)
            stack.callback(services.supervisor.close)
            services.publisher.start()
            for thread in services.own_threads:
                thread.start()
            if services.page is not None:
                services.page.start()
            stack.callback(self._end, services)
            self.feeds.start()
            self._wait_for_broker(services)
            services.supervisor.ready()
            self._inspect_all(services)
        _log.info("%s", self.summary)
        if self._restart is not None:
            raise RestartNeededError(self._restart)
        if self.feeds.error is not None:
            raise self.feeds.error
        if (lost := self.summary.lost) and not self._stopping:
            what = "1 event is" if lost == 1 else f"{lost} events are"
            path = self._config.spool.path
            raise SpoolError(f"{what} lost, for {path} took no more; make room on its disk, and inspect again")
        return self.summary

    def snapshot(self) -> Snapshot:
        """The state of the station now. Any thread may call it while `run` runs."""
        assert self._services is not None
        return take_snapshot(self, self._services, time.monotonic() - self._started)

    @property
    def page_address(self) -> tuple[str, int] | None:
        """Where the operator page answers; None while there is none."""
        services = self._services
        return None if services is None or services.page is None else services.page.address

    def threshold_of(self, model: ModelIdentity) -> float | None:
        """The threshold that a command set for `model`, else the configuration's; None: the package's."""
        override = self._overrides.threshold(model.sha256)
        return self._config.threshold if override is None else override

    def end_for_restart(self, sentence: str) -> None:
        """Stop after the frame in work; `run` then raises RestartNeededError with the first `sentence`."""
        if self._restart is None:
            _log.error("%s", sentence)
            self._restart = sentence
        self._stopping = True

    def publish_state(self) -> None:
        """Publish the states of cameras, and the `health` message when it is due; end when no camera can be read.

        The supervisor calls it.
        """
        assert self._services is not None
        if self.feeds.stuck:
            self.end_for_restart("every camera hangs in its driver; the station ends to be restarted")
        self._services.lateness.check(self.feeds.states())
        if self._services.page is not None:
            self._services.page.check()
        self.announcer.cameras(self._camera_reports)
        self.announcer.health(self.snapshot, self._config.supervision.health_seconds, time.monotonic())

    def _announce(self, services: Services) -> None:
        """Queue the first messages; they are sent on the first connection."""
        pipeline = services.pipeline
        self.announcer.start(services.publisher, services.spool)
        services.drift.restart(pipeline.inspector, pipeline.threshold)
        self.announcer.birth(pipeline.inspector.identity, pipeline.threshold)
        self.announcer.status(self.health.state, self.health.faults)
        self.health.fault("spool_file", services.spool.set_aside)
        self.health.fault("spool.open", services.spool.unusable)
        self.health.fault("commands_file", self._overrides.set_aside)

    def _wait_for_broker(self, services: Services) -> None:
        """Wait until the first connection works or fails. Raises BrokerError when the broker refuses this client."""
        deadline = time.monotonic() + _FIRST_TRY_SECONDS
        while not services.publisher.wait_first_try(_TICK_SECONDS):
            services.supervisor.keep()  # the first attempt may wait for a thread
            if self._stopping or time.monotonic() >= deadline:
                return

    def _inspect_all(self, services: Services) -> None:
        pipeline = services.pipeline
        lossless = {camera.id: camera.lossless for camera in self._config.cameras}
        poll_at = 0.0
        while True:
            draining = self._stopping or services.switch.ready  # a switch needs a pipeline without frames
            frame = None if draining else self.feeds.get(0.0 if len(pipeline) else _TICK_SECONDS)
            if frame is not None:
                pipeline.submit(frame)
            # Finish a live camera's frame before the next: a frame that waits in the pipeline only gets old.
            alone = frame is None or not lossless[frame.camera] or bool(self.work.suspects)
            ahead = 1 if alone else pipeline.inspector.ahead
            if len(pipeline) and (frame is None or len(pipeline) >= ahead):
                inspected = pipeline.collect()
                if inspected is not None:
                    services.reporter.report(inspected, pipeline.inspector.identity)
            elif frame is None and (self._stopping or self.feeds.ended):
                return
            self._between_frames(services)
            if (now := time.monotonic()) >= poll_at:
                poll_at = now + _POLL_SECONDS
                services.supervisor.keep()
                services.reporter.check_spool()
                if services.archive is not None:
                    services.archive.check()

    def _between_frames(self, services: Services) -> None:
        """Run commands; switch the model; apply a reloaded configuration."""
        with services.supervisor.spool.working():  # a command may write to the disk, or read from it
            services.commander.run_pending()
            services.fetcher.run_pending()
        if services.switch.ready and not len(services.pipeline):
            with services.supervisor.inspector.working():
                inspector = services.switch.run_pending()
            if inspector is not None:
                services.actions.use_inspector(inspector)
                if services.page is not None:
                    services.page.forget_scores()
        with services.supervisor.spool.working():
            changes = services.reload.run_pending()
        if changes is not None:
            self.health.fault("signature", self._trust.fault())
            self._apply(services, {name.split(".")[0] for name in changes.applied})

    def _apply(self, services: Services, changed: set[str]) -> None:
        """Apply the sections of a reloaded configuration that can change while the station runs."""
        running = self._config = services.reload.running
        if "threshold" in changed:
            services.actions.set_threshold(running.threshold)
        if "drift" in changed:
            services.drift.change_settings(running.drift, services.pipeline.inspector, services.pipeline.threshold)
        if "log" in changed:
            configure_log(running.log, running.station.id, secrets=secrets_of(self._broker, self._config))

    def _camera_reports(self) -> Mapping[str, CameraReport]:
        assert self._services is not None
        return camera_reports(self.feeds, self._services.lateness)

    def _publish_status(self, state: State, faults: Mapping[str, str]) -> None:
        self.faults.changed(faults)
        self.announcer.status(state, faults)

    def _end(self, services: Services) -> None:
        """End, in the first thread that calls; another one waits for it."""
        self.ending.set()
        with self._end_once:
            if not self._ended:
                self._ended = True
                self._close(services)

    def _close(self, services: Services) -> None:
        """Close the cameras, drain the spool, publish `stopped`; within three seconds after `stop`."""
        services.supervisor.stopping()
        self.feeds.close(_STOP_SECONDS)
        if services.shadow is not None:
            services.shadow.close(_STOP_SECONDS)
        self.work.clear(self._config.supervision.inspector_seconds)
        self.announcer.cameras(self._camera_reports)
        reports = self.feeds.states()
        drain = self._config.mqtt.drain_seconds
        self.announcer.stopped(min(drain, _STOP_SECONDS) if self._stopping else drain)
        if services.archive is not None:
            services.archive.close(_STOP_SECONDS if self._stopping else _ARCHIVE_SECONDS)
        summary = self.summary
        summary.bad_images = sum(report.bad for report in reports.values())
        for report in reports.values():
            summary.dropped.update(report.dropped)
        summary.published = services.publisher.published
        summary.waiting = len(services.spool)
        summary.spool_dropped = sum(services.spool.dropped.values())
        summary.given_up = services.spool.given_up - self._given_up_before
