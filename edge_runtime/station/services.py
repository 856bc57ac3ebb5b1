"""What a station is made of while it runs, and the station as these parts see it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from edge_runtime.archive.writer import ArchiveWriter
from edge_runtime.cameras.feeds import Feeds
from edge_runtime.cameras.work_journal import WorkJournal
from edge_runtime.commands.commander import Commander
from edge_runtime.commands.fetcher import PackageFetcher
from edge_runtime.commands.model_switch import ModelSwitch
from edge_runtime.frames.drift_watch import DriftWatch
from edge_runtime.frames.lateness import Lateness
from edge_runtime.frames.pipeline import FramePipeline
from edge_runtime.frames.reports import FrameReporter
from edge_runtime.frames.summary import Summary
from edge_runtime.kept_thread import KeptThread
from edge_runtime.mqtt.publisher import Publisher
from edge_runtime.mqtt.spool.spool import Spool
from edge_runtime.page.fault_history import FaultHistory
from edge_runtime.page.operator_page import OperatorPage
from edge_runtime.shadow.shadow import Shadow
from edge_runtime.station.actions import StationActions
from edge_runtime.station.announcer import Announcer
from edge_runtime.station.reload import Reload
from edge_runtime.supervision.snapshot import Snapshot
from edge_runtime.supervision.state import Health
from edge_runtime.supervision.supervisor import Supervisor
from latentline.package.identity import ModelIdentity


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
