"""The JSON messages of a station. Their schemas are docs/mqtt/*.schema.json."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any, Literal

from edge_runtime.cameras.base import Frame
from edge_runtime.cameras.report import CameraReport
from latentline.inspection.result import InspectionResult
from latentline.package.identity import ModelIdentity
from latentline.scoring.defects import Defect

SCHEMA_VERSION = 1

Message = dict[str, Any]
State = Literal["starting", "online", "degraded", "stopped", "offline"]


def utc(moment: datetime) -> str:
    """ISO 8601 in UTC with milliseconds, e.g. 2026-11-05T09:30:00.125Z. `moment` must have a time zone."""
    text = moment.astimezone(timezone.utc).isoformat(timespec="milliseconds")
    return text.removesuffix("+00:00") + "Z"


def now() -> str:
    """The present time, in the format of `utc`."""
    return utc(datetime.now(timezone.utc))


def encode(message: Mapping[str, Any]) -> bytes:
    """Compact UTF-8 JSON. Raises ValueError for NaN and infinity, which are not JSON.

    What is not valid Unicode (a file name may hold any bytes) becomes a question mark.
    """
    return json.dumps(message, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")


class Messages:
    """Builds the messages of one run of a station. `boot_id` is unique to the run."""

    def __init__(self, station: str) -> None:
        self.station = station
        self.boot_id = str(uuid.uuid4())

    def status(
        self,
        state: State,
        faults: Mapping[str, str],
        spool_dropped: Mapping[str, int],
        spool_damaged: int = 0,
        dead_letters: int = 0,
    ) -> Message:
        """The state of the station. `offline` is the will, so its `at` is the time of connecting.

        spool_dropped  events dropped from the spool, by cause
        spool_damaged  events of the spool that damage has cost
        dead_letters   events that could not be delivered
        """
        reasons = [{"code": code, "message": text} for code, text in sorted(faults.items())]
        return self._envelope(
            state=state,
            reasons=reasons,
            spool_dropped=dict(spool_dropped),
            spool_damaged=spool_damaged,
            dead_letters=dead_letters,
        )

    def birth(
        self,
        software: str,
        model: ModelIdentity,
        threshold: float,
        cameras: Mapping[str, Mapping[str, Any]],
        commands: Sequence[str] = (),
    ) -> Message:
        """What runs here.

        cameras   id -> {kind, source, every_frame}, credentials masked
        commands  verbs that the station carries out
        """
        described = {
            "name": model.name,
            "sha256": model.sha256,
            "channels": model.channels,
            "tile_size": model.tile_size,
        }
        return self._envelope(
            software={"name": "latentline", "version": software},
            model=described,
            backend=model.backend,
            threshold=threshold,
            map_threshold=model.map_threshold,
            cameras=[{"id": name, **about} for name, about in cameras.items()],
            commands=list(commands),
        )

    def camera_status(self, camera: str, report: CameraReport) -> Message:
        """The state of one camera, its counters in this run, and how late its newest verdict was."""
        counts = {
            "frames": report.frames,
            "bad": report.bad,
            "reopened": report.reopened,
            "stalls": report.stalls,
            "dropped": dict(report.dropped),
        }
        lateness = report.lateness_seconds
        return self._envelope(
            camera=camera,
            state=report.state,
            reason=report.reason,
            counts=counts,
            lateness_seconds=None if lateness is None else round(lateness, 3),
        )

    def defect(self, frame: Frame, inspection: InspectionResult, model: ModelIdentity, wait_ms: float) -> Message:
        """An event: an abnormal frame. `stamp` adds `seq`, `published_at` and `replayed` when it is sent."""
        return {
            **self._envelope(),
            "event_id": str(uuid.uuid4()),
            **_score(frame, inspection, wait_ms),
            "model": {"name": model.name, "sha256": model.sha256},
            "defects": [defect_content(defect) for defect in inspection.defects],
        }

    def result(self, frame: Frame, inspection: InspectionResult, wait_ms: float) -> Message:
        """A short message about any inspected frame."""
        return {
            **self._envelope(),
            **_score(frame, inspection, wait_ms),
            "abnormal": inspection.is_abnormal,
            "defect_count": len(inspection.defects),
        }

    def _envelope(self, **rest: Any) -> Message:
        return {
            "schema_version": SCHEMA_VERSION,
            "station": self.station,
            "boot_id": self.boot_id,
            "at": now(),
            **rest,
        }


def stamp(body: bytes, seq: int, *, replayed: bool) -> bytes:
    """Add to an event's JSON, `body`, its number in the spool, the time of sending, and whether it is replayed."""
    added = encode({"seq": seq, "published_at": now(), "replayed": replayed})
    return added if body == b"{}" else body[:-1] + b"," + added[1:]


def _score(frame: Frame, inspection: InspectionResult, wait_ms: float) -> Message:
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


def defect_content(defect: Defect) -> Message:
    """One defect as it stands in an event."""
    return {
        "bbox": [int(value) for value in defect.bbox],
        "area_px": int(defect.area),
        "peak": float(defect.peak),
        "mean": float(defect.mean),
        "polygon": [[int(x), int(y)] for x, y in defect.polygon],
        "source": defect.source,
    }
