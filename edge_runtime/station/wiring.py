"""Put a station together from its configuration."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol, cast

from edge_runtime.archive.writer import ArchiveWriter
from edge_runtime.cameras.base import Frame
from edge_runtime.cameras.feeds import Feeds
from edge_runtime.cameras.report import CameraReport
from edge_runtime.cameras.work_journal import WorkJournal
from edge_runtime.commands.answered_file import AnsweredFile
from edge_runtime.commands.commander import Commander
from edge_runtime.commands.fetcher import PackageFetcher
from edge_runtime.commands.model_switch import LoadedPackage, ModelSwitch
from edge_runtime.commands.models import load_for_switch
from edge_runtime.commands.overrides import Overrides
from edge_runtime.commands.trust import ReleaseFile, Trust, admit_package
from edge_runtime.config import StationConfig
from edge_runtime.frames.drift_watch import DriftWatch
from edge_runtime.frames.frame_inspector import FrameInspector
from edge_runtime.frames.lateness import Lateness
from edge_runtime.frames.pipeline import FramePipeline
from edge_runtime.frames.reports import FrameReporter, Observer
from edge_runtime.frames.summary import Summary
from edge_runtime.kept_thread import KeptThread
from edge_runtime.mqtt.broker import Broker
from edge_runtime.mqtt.publisher import Publisher
from edge_runtime.mqtt.settings import read_password
from edge_runtime.mqtt.spool.settings import SpoolSection
from edge_runtime.mqtt.spool.spool import Spool
from edge_runtime.pacing import Backoff
from edge_runtime.page.fault_history import FaultHistory
from edge_runtime.page.latest import LatestFrames
from edge_runtime.page.operator_page import OperatorPage
from edge_runtime.page.station_view import StationView
from edge_runtime.shadow.shadow import Shadow
from edge_runtime.station.actions import StationActions
from edge_runtime.station.announcer import Announcer
from edge_runtime.station.reload import Reload
from edge_runtime.supervision.process import read_process
from edge_runtime.supervision.snapshot import Snapshot
from edge_runtime.supervision.state import Health
from edge_runtime.supervision.supervisor import Supervisor
from latentline.backends.settings import Backend
from latentline.inspection.result import InspectionResult
from latentline.package.identity import ModelIdentity

_FIRST_PAUSE_SECONDS = 1.0  # after a connection failed or broke; the pauses then double


class Host(Protocol):
    """The station, as its services see it."""

    health: Health
    summary: Summary
    feeds: Feeds
    work: WorkJournal
    announcer: Announcer
    faults: FaultHistory

    def snapshot(self) -> Snapshot:
        """The state of the station now. Any thread may call it."""
        ...

    def threshold_of(self, model: ModelIdentity) -> float | None:
        """The threshold for `model` instead of its package's; None: the package's."""
        ...

    def end_for_restart(self, sentence: str) -> None:
        """Stop the station, because only a new process can help."""
        ...

    def publish_state(self) -> None:
        """Publish the states of cameras, and `health` when it is due; never waits."""
        ...


@dataclass(frozen=True)
class Services:
    """The objects that live as long as `Station.run`."""

    spool: Spool
    publisher: Publisher
    supervisor: Supervisor
    pipeline: FramePipeline
    reporter: FrameReporter
    drift: DriftWatch
    switch: ModelSwitch
    fetcher: PackageFetcher
    actions: StationActions
    commander: Commander
    reload: Reload
    lateness: Lateness
    archive: ArchiveWriter | None
    page: OperatorPage | None
    shadow: Shadow | None

    @property
    def own_threads(self) -> tuple[KeptThread, ...]:
        """Those of archive and shadow, as far as the station has them."""
        return tuple(part.thread for part in (self.archive, self.shadow) if part is not None)


def broker_of(config: StationConfig) -> Broker:
    """Address and credentials of the broker. Raises ConfigError when the password cannot be read."""
    mqtt = config.mqtt
    password = read_password(mqtt)
    return Broker(mqtt.host, mqtt.broker_port, config.client_id, mqtt.username, password, mqtt.tls, mqtt.keep_alive)


def secrets_of(broker: Broker, config: StationConfig) -> list[str]:
    """Texts that must not appear in a log: the broker's password and those of the cameras."""
    cameras = set[str]().union(*(camera.secrets for camera in config.cameras))
    return [*([broker.password] if broker.password else []), *cameras]


def load_overrides(config: StationConfig) -> Overrides:
    """Read what commands have set, from the file beside the spool. Raises ConfigError when it cannot be read."""
    return Overrides(config.spool.path.with_suffix(".commands.json"), config.threshold, config.model)


def release_file(config: StationConfig) -> ReleaseFile:
    """What release this station has accepted, beside the spool."""
    return ReleaseFile(config.spool.path.with_suffix(".release.json"))


def trust_of(config: StationConfig) -> Trust:
    """Which packages this station runs."""
    return Trust(config.commands.trusted_keys, release_file(config))


def assemble(
    config: StationConfig,
    inspector: FrameInspector,
    host: Host,
    broker: Broker,
    overrides: Overrides,
    trust: Trust,
    observer: Observer | None,
    path: Path | None,
    stack: ExitStack,
) -> Services:
    """Make the services of a station and connect them. `stack` closes those that need it.

    inspector  the first one; it belongs to the model switch from now on
    path       of the configuration file, for a reload
    Raises ConfigError when the spool cannot be opened.
    """
    fault = host.health.fault
    switch = _model_switch(config, inspector, overrides, trust, host.summary)
    stack.callback(switch.close)
    spool = _open_spool(config.spool)
    stack.callback(spool.close)
    supervisor = Supervisor(
        config.station.id,
        config.supervision,
        host.health,
        host.snapshot,
        config.spool.path,
        host.end_for_restart,
        publish=host.publish_state,
    )
    longest = config.mqtt.reconnect_max_seconds
    pauses = Backoff(min(_FIRST_PAUSE_SECONDS, longest), longest)
    publisher = Publisher(broker, spool, host.announcer.will, pauses, fault, supervisor.sender)
    threshold = host.threshold_of(inspector.identity)
    pipeline = FramePipeline(
        inspector,
        threshold,
        host.summary,
        supervisor.inspector,
        fault,
        host.feeds.done,
        host.end_for_restart,
        host.work,
    )
    drift = DriftWatch(config.drift, fault)
    fetcher = PackageFetcher(config.commands.fetch, _models(config), config.supervision.disk_mib << 20)
    stack.callback(fetcher.close)
    actions = StationActions(
        host.feeds,
        pipeline,
        drift,
        host.announcer,
        switch,
        fetcher,
        overrides,
        config.model,
        host.snapshot,
        host.threshold_of,
        fault,
    )
    answered = AnsweredFile(config.spool.path.with_suffix(".answered"))
    commander = Commander(
        config.commands, host.announcer.topics, actions, publisher.reply, overrides, answered=answered
    )
    if commander.topic_filter is not None:
        publisher.subscribe(commander.topic_filter, commander.received)
    lateness = Lateness({camera.id: camera.late_seconds for camera in config.cameras}, fault)
    archive = None if config.archive is None else ArchiveWriter(config.archive, fault)
    page = None
    if config.page is not None:
        view = _station_view(config, host, supervisor, pipeline, commander, overrides)
        page = OperatorPage(config.page, view, fault)
        observer = _both(view.latest.show, observer)
        stack.callback(page.close)
    shadow = None
    if config.shadow is not None:  # the candidate has to be as trusted as a model that a command switches to
        shadow = Shadow(config.shadow, partial(admit_package, config.commands.trusted_keys, release_file(config)))
    reporter = FrameReporter(
        host.announcer.messages,
        host.announcer.topics,
        spool,
        config.spool,
        publisher,
        drift,
        host.summary,
        supervisor.spool,
        fault,
        host.feeds.done,
        pictures=config.pictures,
        results=config.mqtt.results,
        observer=observer,
        reported=lateness.add,
        archive=(lambda *_: None) if archive is None else archive.offer,
        shadow=(lambda *_: None) if shadow is None else shadow.offer,
    )
    reload = Reload(path or Path(), config, fault, supervisor.systemd)
    return Services(
        spool,
        publisher,
        supervisor,
        pipeline,
        reporter,
        drift,
        switch,
        fetcher,
        actions,
        commander,
        reload,
        lateness,
        archive,
        page,
        shadow,
    )


def _station_view(
    config: StationConfig,
    host: Host,
    supervisor: Supervisor,
    pipeline: FramePipeline,
    commander: Commander,
    overrides: Overrides,
) -> StationView:
    return StationView(
        name=config.station.id,
        beside=config.spool.path,
        health=host.health,
        faults=host.faults,
        latest=LatestFrames(camera.id for camera in config.cameras),
        snapshot=host.snapshot,
        troubled=lambda: supervisor.troubled,
        ask=commander.ask,
        identity=lambda: pipeline.inspector.identity,
        threshold=lambda: pipeline.threshold,
        baseline=lambda: pipeline.inspector.baseline,
        before=lambda: overrides.before,
        commands=config.commands,
        model=config.model,
        archive=None if config.archive is None else config.archive.path,
        archive_gib=None if config.archive is None else config.archive.max_gib,
    )


def _both(first: Observer, second: Observer | None) -> Observer:
    if second is None:
        return first

    def observe(frame: Frame, inspection: InspectionResult) -> None:
        first(frame, inspection)
        second(frame, inspection)

    return observe


def _model_switch(
    config: StationConfig, inspector: FrameInspector, overrides: Overrides, trust: Trust, summary: Summary
) -> ModelSwitch:
    backend = cast("Backend", inspector.identity.backend)
    budget = config.supervision.inspector_seconds

    def load(path: Path) -> LoadedPackage:
        return load_for_switch(path, backend, config.gpu, budget, summary.largest_frame, trust)

    def save(name: str, sha256: str) -> None:
        overrides.set_model(name, sha256, switch.inspector.identity.sha256)

    switch = ModelSwitch(_models(config), inspector, load, save)
    return switch


def _models(config: StationConfig) -> Path:
    """The folder that packages lie in."""
    return config.commands.models or config.model.parent


def _open_spool(limits: SpoolSection) -> Spool:
    age = None if limits.max_days is None else limits.max_days * 86400
    size = None if limits.max_mib is None else limits.max_mib << 20
    return Spool(limits.path, limits.max_events, size, age)


def camera_reports(feeds: Feeds, lateness: Lateness) -> dict[str, CameraReport]:
    """State and counters of each camera, and how late its newest verdict was."""
    return {name: lateness.completed(name, report) for name, report in feeds.states().items()}


def take_snapshot(host: Host, services: Services, uptime: float) -> Snapshot:
    """The state of the station, for metrics and `health`. uptime: seconds."""
    pipeline, summary, spool, publisher = services.pipeline, host.summary, services.spool, services.publisher
    identity = pipeline.inspector.identity
    return Snapshot(
        state=host.health.state,
        faults=host.health.faults,
        uptime_seconds=uptime,
        paused=services.actions.paused,
        cameras=camera_reports(host.feeds, services.lateness),
        inspected=summary.inspected,
        abnormal=summary.abnormal,
        unusable=summary.bad_frames,
        failed=summary.failed,
        inspect_ms_p50=summary.latency(50),
        inspect_ms_p99=summary.latency(99),
        events=summary.events,
        lost=summary.lost,
        spool_waiting=len(spool),
        spool_bytes=spool.size_bytes,
        spool_dropped=spool.dropped,
        spool_damaged=spool.damaged,
        dead_letters=spool.dead_letters,
        published=publisher.published,
        unheard=publisher.unheard,
        connected=publisher.connected,
        connections=publisher.connections,
        model_name=identity.name,
        model_sha256=identity.sha256,
        backend=identity.backend,
        threshold=pipeline.threshold,
        drift=services.drift.numbers,
        process=read_process(),
        archive=None if services.archive is None else services.archive.numbers,
        shadow=None if services.shadow is None else services.shadow.numbers,
    )
