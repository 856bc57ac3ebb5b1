"""The JSON messages of a station. docs/mqtt/*.schema.json describe them to whoever receives them."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any, Literal

from edge_runtime.cameras.base import Frame
from edge_runtime.cameras.feed import CameraReport
from latentline.inspection.result import InspectionResult
from latentline.package.identity import ModelIdentity
from latentline.scoring.defects import Defect

SCHEMA_VERSION = 1

Message = dict[str, Any]
State = Literal["starting", "online", "degraded", "stopped", "offline"]


def utc(moment: datetime) -> str:
    """ISO 8601 in UTC with milliseconds, e.g. 2026-11-05T09:30:00.125Z. `moment` must know its zone."""
    text = moment.astimezone(timezone.utc).isoformat(timespec="milliseconds")
    return text.removesuffix("+00:00") + "Z"


def now() -> str:
    """This moment, as `utc` writes it."""
    return utc(datetime.now(timezone.utc))


def encode(message: Mapping[str, Any]) -> bytes:
    """Compact UTF-8 JSON. Raises ValueError for NaN and infinity, which JSON does not have.

    What is no Unicode (a file name may hold any bytes) becomes a question mark.
    """
    return json.dumps(message, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")


class Messages:
    """Builds every message of one run of a station; `boot_id` is that run's."""

    def __init__(self, station: str) -> None:
        self.station = station
        self.boot_id = str(uuid.uuid4())

    def status(self, state: State, faults: Mapping[str, str], spool_dropped: Mapping[str, int]) -> Message:
        """State of the station. The broker itself sends the will, `offline`, so its `at` is the time of connecting.

        spool_dropped  `Spool.dropped`: events given up, by cause
        """
        reasons = [{"code": code, "message": text} for code, text in sorted(faults.items())]
        return self._head(state=state, reasons=reasons, spool_dropped=dict(spool_dropped))

    def birth(
        self, software: str, model: ModelIdentity, threshold: float, cameras: Mapping[str, Mapping[str, Any]]
    ) -> Message:
        """What runs here. cameras: id -> {kind, source, every_frame}, credentials masked."""
        described = {
            "name": model.name,
            "sha256": model.sha256,
            "channels": model.channels,
            "tile_size": model.tile_size,
        }
        return self._head(
            software={"name": "latentline", "version": software},
            model=described,
            backend=model.backend,
            threshold=threshold,
            map_threshold=model.map_threshold,
            cameras=[{"id": name, **about} for name, about in cameras.items()],
        )

    def camera_status(self, camera: str, report: CameraReport) -> Message:
        """State of one camera and what it gave in this run."""
        counts = {
            "frames": report.frames,
            "bad": report.bad,
            "reopened": report.reopened,
            "stalls": report.stalls,
            "dropped": dict(report.dropped),
        }
        return self._head(camera=camera, state=report.state, reason=report.reason, counts=counts)

    def defect(self, frame: Frame, inspection: InspectionResult, model: ModelIdentity, wait_ms: float) -> Message:
        """An abnormal frame. `seq`, `published_at` and `replayed` are added by `stamp` at hand-over."""
        return {
            **self._head(),
            "event_id": str(uuid.uuid4()),
            **_verdict(frame, inspection, wait_ms),
            "model": {"name": model.name, "sha256": model.sha256},
            "defects": [_defect(defect) for defect in inspection.defects],
        }

    def result(self, frame: Frame, inspection: InspectionResult, wait_ms: float) -> Message:
        """Any inspected frame, in short."""
        return {
            **self._head(),
            **_verdict(frame, inspection, wait_ms),
            "abnormal": inspection.is_abnormal,
            "defect_count": len(inspection.defects),
        }

    def _head(self, **rest: Any) -> Message:
        return {
            "schema_version": SCHEMA_VERSION,
            "station": self.station,
            "boot_id": self.boot_id,
            "at": now(),
            **rest,
        }


def stamp(body: bytes, seq: int, *, replayed: bool) -> bytes:
    """The event `body` (as `encode` gave it) as it goes out: with its number in the spool, the time of hand-over, and
    whether it had to wait."""
    more = encode({"seq": seq, "published_at": now(), "replayed": replayed})
    return more if body == b"{}" else body[:-1] + b"," + more[1:]


def _verdict(frame: Frame, inspection: InspectionResult, wait_ms: float) -> Message:
    height, width, channels = frame.image.shape
    timings = {name: float(value) for name, value in inspection.milliseconds.items()}
    return {
        "captured_at": utc(frame.captured_at),
        "camera": frame.camera,
        "frame": {
            "number": frame.number,
            "source": frame.source,
            "width": width,
            "height": height,
            "channels": channels,
        },
        "score": float(inspection.score),
        "threshold": float(inspection.threshold),
        "timings_ms": {"wait": float(wait_ms), **timings},
    }


def _defect(defect: Defect) -> Message:
    return {
        "bbox": [int(value) for value in defect.bbox],
        "area_px": int(defect.area),
        "peak": float(defect.peak),
        "mean": float(defect.mean),
        "polygon": [[int(x), int(y)] for x, y in defect.polygon],
        "source": defect.source,
    }
