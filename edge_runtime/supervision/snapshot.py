"""What a station is at one moment: the one source of the metrics and of the `health` message."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from edge_runtime.cameras.report import CameraReport
from edge_runtime.supervision.process import Process
from edge_runtime.supervision.state import State


@dataclass(frozen=True)
class Snapshot:
    """Numbers since the start unless something else is said; every counter only grows.

    faults            sentence by code, e.g. {"camera.top": "camera top: device 0 gives no frame"}
    paused            whether a command has paused the station
    cameras           by id
    inspected         frames with a verdict; abnormal: of them above the threshold
    unusable          frames the inspector could not use; failed: frames at which the inspector itself failed
    inspect_ms_p50    median of the newest inspections, milliseconds, 0 before the first; p99 likewise
    events            written to the spool; lost: could not be written
    spool_waiting     events not confirmed yet; spool_bytes: their size
    spool_dropped     events this spool ever gave up, by cause
    published         events the broker confirmed; unheard: of them without a subscriber
    connected         whether a broker has accepted us; connections: how often one did
    threshold         the anomaly score above which a frame is abnormal
    drift             numbers of the drift report by name; finite
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
    drift: Mapping[str, float] = field(default_factory=dict)
    process: Process = field(default_factory=Process)
