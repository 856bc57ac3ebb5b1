"""Messages of a station, with the fields that a listener reads."""

from __future__ import annotations

from typing import Any

AT = "2026-11-22T07:15:00.000Z"
TOPIC = "latentline/line-1/v1/"


def status(state: str, **reasons: str) -> dict[str, Any]:
    return {"at": AT, "state": state, "reasons": [{"code": c, "message": m} for c, m in reasons.items()]}


def event(event_id: str, seq: int, **changes: Any) -> dict[str, Any]:
    box = {"bbox": [12, 3, 40, 22], "peak": 9.06}
    message = {"event_id": event_id, "seq": seq, "captured_at": AT, "replayed": False, "score": 4.5, "threshold": 3.2}
    return {**message, "defects": [box], **changes}


BIRTH = {
    "at": AT,
    "software": {"name": "latentline", "version": "0.1.0"},
    "model": {"name": "tiles", "sha256": "ab" * 32},
    "backend": "openvino",
    "threshold": 3.2,
    "cameras": [{"id": "top", "kind": "device"}, {"id": "side", "kind": "stream"}],
}
HEALTH = {
    "at": AT,
    "state": "degraded",
    "faults": ["disk"],
    "uptime_seconds": 4000,
    "frames": {"inspected": 70, "abnormal": 3},
    "events": {"waiting": 2},
    "cameras": [{"lateness_seconds": 0.2}, {"lateness_seconds": 1.5}, {"lateness_seconds": None}],
    "process": {"rss_bytes": 250 * 2**20},
}
