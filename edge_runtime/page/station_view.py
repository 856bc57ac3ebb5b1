"""The station as the page sees it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edge_runtime.commands.local_request import LocalRequest
from edge_runtime.commands.overrides import PreviousModel
from edge_runtime.commands.settings import CommandsSection
from edge_runtime.page.fault_history import FaultHistory
from edge_runtime.page.latest import LatestFrames
from edge_runtime.supervision.snapshot import Snapshot
from edge_runtime.supervision.state import Health
from latentline.package.baseline import NormalBaseline
from latentline.package.identity import ModelIdentity


@dataclass(frozen=True)
class StationView:
    """What the page may read and ask. Any thread may call.

    name      the station's id
    beside    path of the spool; files of the page lie beside it unless the settings say otherwise
    troubled  returns the codes of stages that hang or always fail, as /readyz knows them
    ask       queues a request for the station's thread; raises CommandError
    identity, threshold, baseline  return what the running model is, judges by, and was calibrated on
    before    returns the model that ran before the last switch; None: there is none to go back to
    model     the package that the YAML names
    archive   folder of the archive; None: there is none. archive_gib: its limit, if it has one
    """

    name: str
    beside: Path
    health: Health
    faults: FaultHistory
    latest: LatestFrames
    snapshot: Callable[[], Snapshot]
    troubled: Callable[[], frozenset[str]]
    ask: Callable[[LocalRequest], None]
    identity: Callable[[], ModelIdentity]
    threshold: Callable[[], float]
    baseline: Callable[[], NormalBaseline | None]
    before: Callable[[], PreviousModel | None]
    commands: CommandsSection
    model: Path
    archive: Path | None
    archive_gib: float | None
