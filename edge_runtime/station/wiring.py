"""Put a station together from its configuration."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import cast

from edge_runtime.archive.writer import ArchiveWriter
from edge_runtime.commands.answered_file import AnsweredFile
from edge_runtime.commands.commander import Commander
from edge_runtime.commands.fetcher import PackageFetcher
from edge_runtime.commands.model_switch import LoadedPackage, ModelSwitch
from edge_runtime.commands.models import load_for_switch
from edge_runtime.commands.overrides import Overrides
from edge_runtime.commands.trust import Trust, admit_package
from edge_runtime.config import StationConfig
from edge_runtime.frames.drift_watch import DriftWatch
from edge_runtime.frames.frame_inspector import FrameInspector
from edge_runtime.frames.lateness import Lateness
from edge_runtime.frames.pipeline import FramePipeline
from edge_runtime.frames.reports import FrameReporter, Observer
from edge_runtime.frames.summary import Summary
from edge_runtime.mqtt.broker import Broker
from edge_runtime.mqtt.namesake import Namesake
from edge_runtime.mqtt.publisher import Publisher
from edge_runtime.mqtt.spool.settings import SpoolSection
from edge_runtime.mqtt.spool.spool import Spool
from edge_runtime.pacing import Backoff
from edge_runtime.page.operator_page import OperatorPage
from edge_runtime.shadow.shadow import Shadow
from edge_runtime.station.actions import StationActions
from edge_runtime.station.configured import models_of, release_file
from edge_runtime.station.page_view import both, station_view
from edge_runtime.station.reload import Reload
from edge_runtime.station.services import Host, Services
from edge_runtime.supervision.supervisor import Supervisor
from latentline.backends.settings import Backend

_FIRST_PAUSE_SECONDS = 1.0  # after a connection failed or broke; the pauses then double


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
    boot_id, status_seconds = host.announcer.messages.boot_id, host.announcer.status_seconds
    namesake = Namesake(config.station.id, boot_id, status_seconds, fault)
    publisher.watch_for(namesake, host.announcer.topics.status)
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
    fetcher = PackageFetcher(config.commands.fetch, models_of(config), config.supervision.disk_mib << 20)
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
        view = station_view(config, host, supervisor, pipeline, commander, overrides)
        page = OperatorPage(config.page, view, fault)
        observer = both(view.latest.show, observer)
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


def _model_switch(
    config: StationConfig, inspector: FrameInspector, overrides: Overrides, trust: Trust, summary: Summary
) -> ModelSwitch:
    backend = cast("Backend", inspector.identity.backend)
    budget = config.supervision.inspector_seconds

    def load(path: Path) -> LoadedPackage:
        return load_for_switch(path, backend, config.gpu, budget, summary.largest_frame, trust)

    def save(name: str, sha256: str) -> None:
        overrides.set_model(name, sha256, switch.inspector.identity.sha256)

    switch = ModelSwitch(models_of(config), inspector, load, save)
    return switch


def _open_spool(limits: SpoolSection) -> Spool:
    age = None if limits.max_days is None else limits.max_days * 86400
    size = None if limits.max_mib is None else limits.max_mib << 20
    return Spool(limits.path, limits.max_events, size, age)
