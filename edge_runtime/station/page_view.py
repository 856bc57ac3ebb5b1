"""What the operator page may know of the station."""

from __future__ import annotations

from edge_runtime.cameras.base import Frame
from edge_runtime.commands.commander import Commander
from edge_runtime.commands.overrides import Overrides
from edge_runtime.config import StationConfig
from edge_runtime.frames.pipeline import FramePipeline
from edge_runtime.frames.reports import Observer
from edge_runtime.page.latest import LatestFrames
from edge_runtime.page.station_view import StationView
from edge_runtime.station.services import Host
from edge_runtime.supervision.supervisor import Supervisor
from latentline.inspection.result import InspectionResult


def station_view(
    config: StationConfig,
    host: Host,
    supervisor: Supervisor,
    pipeline: FramePipeline,
    commander: Commander,
    overrides: Overrides,
) -> StationView:
    """What the page of this station reads and asks; each read gives the state of that moment."""
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


def both(first: Observer, second: Observer | None) -> Observer:
    """Both observers, one after the other."""
    if second is None:
        return first

    def observe(frame: Frame, inspection: InspectionResult) -> None:
        first(frame, inspection)
        second(frame, inspection)

    return observe
