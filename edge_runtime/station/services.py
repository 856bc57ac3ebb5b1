"""What a running station is made of."""

from __future__ import annotations

from dataclasses import dataclass

from edge_runtime.cameras.feeds import Feeds
from edge_runtime.commands.commander import Commander
from edge_runtime.commands.model_switch import ModelSwitch
from edge_runtime.frames.drift_watch import DriftWatch
from edge_runtime.frames.pipeline import FramePipeline
from edge_runtime.frames.reports import FrameReporter
from edge_runtime.frames.summary import Summary
from edge_runtime.mqtt.publisher import Publisher
from edge_runtime.mqtt.spool.spool import Spool
from edge_runtime.station.actions import StationActions
from edge_runtime.station.reload import Reload
from edge_runtime.supervision.process import read_process
from edge_runtime.supervision.snapshot import Snapshot
from edge_runtime.supervision.state import Health
from edge_runtime.supervision.supervisor import Supervisor


@dataclass(frozen=True)
class Parts:
    """Everything that lives from `Station.run`'s beginning to its end."""

    spool: Spool
    publisher: Publisher
    supervisor: Supervisor
    pipeline: FramePipeline
    reporter: FrameReporter
    drift: DriftWatch
    switch: ModelSwitch
    actions: StationActions
    commander: Commander
    reload: Reload

    def snapshot(self, health: Health, feeds: Feeds, summary: Summary, uptime: float) -> Snapshot:
        """All of it in numbers; uptime in seconds."""
        identity = self.pipeline.inspector.identity
        return Snapshot(
            state=health.state,
            faults=health.faults,
            uptime_seconds=uptime,
            paused=self.actions.paused,
            cameras=feeds.states(),
            inspected=summary.inspected,
            abnormal=summary.abnormal,
            unusable=summary.bad_frames,
            failed=summary.failed,
            inspect_ms_p50=summary.latency(50),
            inspect_ms_p99=summary.latency(99),
            events=summary.events,
            lost=summary.lost,
            spool_waiting=len(self.spool),
            spool_bytes=self.spool.size_bytes,
            spool_dropped=self.spool.dropped,
            published=self.publisher.published,
            unheard=self.publisher.unheard,
            connected=self.publisher.connected,
            connections=self.publisher.connections,
            model_name=identity.name,
            model_sha256=identity.sha256,
            backend=identity.backend,
            threshold=self.pipeline.threshold,
            drift=self.drift.numbers,
            process=read_process(),
        )
