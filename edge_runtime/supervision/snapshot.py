"""The state of a station at one moment: the source of the metrics and of the `health` message."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from edge_runtime.cameras.report import CameraReport
from edge_runtime.supervision.archive_numbers import ArchiveNumbers
from edge_runtime.supervision.process import Process
from edge_runtime.supervision.shadow_numbers import ShadowNumbers
from edge_runtime.supervision.state import State


@dataclass(frozen=True)
class Snapshot:
    """Counters start at 0 with the process, unless noted, and never decrease.

    faults            sentence by code, e.g. {"camera.top": "camera top: device 0 gives no frame"}
    paused            whether a command has paused the station
    cameras           by id
    inspected         frames with a score; abnormal: those above the threshold
    unusable          frames that the inspector could not use; failed: frames at which the inspector itself failed
    inspect_ms_p50    median time of the newest inspections, milliseconds; 0 before the first; p99 likewise
    events            events written to the spool; lost: events that could not be written
    spool_waiting     events that the broker has not confirmed yet; spool_bytes: their size
    spool_dropped     events that this spool ever gave up, over restarts, by cause
    spool_damaged     events of this spool that damage has cost, over restarts
    dead_letters      events that could not be delivered, over restarts
    published         events that the broker confirmed; unheard: those without a subscriber
    connected         whether a broker accepts the station; connections: times that one accepted it
    threshold         the anomaly score above which a frame is abnormal
    drift             numbers of the drift report by name, all finite
    archive           None: the station has none; shadow: None: it has no candidate
    """

    state: State
    faults: Mapping[str, str]
    uptime_seconds: float
    paused: bool
    cameras: Mapping[str, CameraReport]
    inspected: int
    abnormal: int
    unusable: int
    failed: int
    inspect_ms_p50: float
    inspect_ms_p99: float
    events: int
    lost: int
    spool_waiting: int
    spool_bytes: int
    spool_dropped: Mapping[str, int]
    published: int
    unheard: int
    connected: bool
    connections: int
    model_name: str
    model_sha256: str
    backend: str
    threshold: float
    spool_damaged: int = 0
    dead_letters: int = 0
    drift: Mapping[str, float] = field(default_factory=dict)
    process: Process = field(default_factory=Process)
    archive: ArchiveNumbers | None = None
    shadow: ShadowNumbers | None = None
