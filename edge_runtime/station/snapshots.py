"""The state of a station at one moment."""

from __future__ import annotations

from edge_runtime.cameras.feeds import Feeds
from edge_runtime.cameras.report import CameraReport
from edge_runtime.frames.lateness import Lateness
from edge_runtime.station.services import Host, Services
from edge_runtime.supervision.process import read_process
from edge_runtime.supervision.snapshot import Snapshot


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
