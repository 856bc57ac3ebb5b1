"""The `health` message: a snapshot for consumers that use MQTT and not Prometheus."""

from __future__ import annotations

from edge_runtime.cameras.report import CameraReport
from edge_runtime.mqtt.events import SCHEMA_VERSION, Message, Messages, now
from edge_runtime.supervision.shadow_numbers import ShadowNumbers
from edge_runtime.supervision.snapshot import Snapshot


def health_message(messages: Messages, snapshot: Snapshot) -> Message:
    """The message for the topic `health`; docs/mqtt/health.schema.json describes it."""
    process = snapshot.process
    return {
        "schema_version": SCHEMA_VERSION,
        "station": messages.station,
        "boot_id": messages.boot_id,
        "at": now(),
        "state": snapshot.state,
        "faults": sorted(snapshot.faults),
        "uptime_seconds": round(snapshot.uptime_seconds, 1),
        "paused": snapshot.paused,
        "frames": {
            "inspected": snapshot.inspected,
            "abnormal": snapshot.abnormal,
            "unusable": snapshot.unusable,
            "failed": snapshot.failed,
        },
        "inspection_ms": {"p50": round(snapshot.inspect_ms_p50, 3), "p99": round(snapshot.inspect_ms_p99, 3)},
        "cameras": [_camera(name, report) for name, report in sorted(snapshot.cameras.items())],
        "events": {
            "written": snapshot.events,
            "lost": snapshot.lost,
            "waiting": snapshot.spool_waiting,
            "published": snapshot.published,
            "unheard": snapshot.unheard,
            "dead_letters": snapshot.dead_letters,
        },
        "spool": {
            "bytes": snapshot.spool_bytes,
            "dropped": dict(snapshot.spool_dropped),
            "damaged": snapshot.spool_damaged,
        },
        "threshold": float(snapshot.threshold),
        "drift": dict(snapshot.drift),
        "process": {
            "rss_bytes": process.rss_bytes,
            "descriptors": process.descriptors,
            "threads": process.threads,
        },
        **({} if snapshot.shadow is None else {"shadow": _shadow(snapshot.shadow)}),
    }


def _shadow(numbers: ShadowNumbers) -> Message:
    return {
        "model": {"name": numbers.name, "sha256": numbers.sha256, "threshold": numbers.threshold},
        "against": numbers.against,
        "scored": numbers.scored,
        "skipped": numbers.skipped,
        "unusable": numbers.unusable,
        "failed": numbers.failed,
        "milliseconds": round(numbers.milliseconds, 3),
        "verdicts": numbers.verdicts.to_dict(),
        "error": numbers.error,
    }


def _camera(name: str, report: CameraReport) -> Message:
    return {
        "id": name,
        "state": report.state,
        "frames": report.frames,
        "bad": report.bad,
        "reopened": report.reopened,
        "stalls": report.stalls,
        "dropped": dict(report.dropped),
        "age_seconds": _rounded(report.age_seconds),
        "lateness_seconds": _rounded(report.lateness_seconds),
    }


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
