"""A snapshot for the tests, with a different number in each field."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from edge_runtime.cameras.report import CameraReport
from edge_runtime.supervision.archive_numbers import ArchiveNumbers
from edge_runtime.supervision.process import Process
from edge_runtime.supervision.shadow_numbers import ShadowNumbers
from edge_runtime.supervision.snapshot import Snapshot
from latentline.evidence.paired import PairedCounts

TOP = CameraReport("ok", None, 31, {"broken file": 3}, 2, 1, {"newer frame": 5, "station stopped": 4}, 0.25, 0.0, 1.5)
SIDE = CameraReport("stalled", "camera side is stalled", 7, {}, 0, 1, {}, None)


def snapshot(**changes: Any) -> Snapshot:
    """A degraded station with two cameras."""
    whole = Snapshot(
        state="degraded",
        faults={"broker": "broker localhost:1883 does not answer"},
        uptime_seconds=61.5,
        paused=False,
        cameras={"top": TOP, "side": SIDE},
        inspected=38,
        abnormal=6,
        unusable=8,
        failed=9,
        inspect_ms_p50=12.5,
        inspect_ms_p99=30.0,
        events=10,
        lost=11,
        spool_waiting=12,
        spool_bytes=13_000,
        spool_dropped={"count": 14, "age": 15},
        published=16,
        unheard=17,
        connected=True,
        connections=18,
        model_name="demo",
        model_sha256="ab" * 32,
        backend="openvino",
        threshold=2.5,
        spool_damaged=22,
        dead_letters=23,
        drift={"alarm_rate_seen": 0.05},
        process=Process(19_000, 20, 21),
        archive=ArchiveNumbers(24, {"disk full": 25}, 26, 27, 28, 29_000),
        shadow=ShadowNumbers(
            "candidate", "cd" * 32, 1.5, "ab" * 32, 37, 38, 39, 40, PairedCounts(6, 7, 8, 16), milliseconds=41.5
        ),
    )
    return replace(whole, **changes)
