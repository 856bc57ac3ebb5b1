"""The figures of a demo run, from inspections and ground truth."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import cv2
import numpy as np

from edge_runtime.tools.demo.camera import Truth
from latentline.inspection.result import InspectionResult
from latentline.package.manifest import Manifest

NEAR = 6  # px; how far from the paint the centre of a box may lie


@dataclass(frozen=True)
class Observation:
    """One inspected frame: its number, result, and wall time in ms."""

    number: int
    inspection: InspectionResult
    milliseconds: float


@dataclass(frozen=True)
class DemoSummary:
    """The figures of one run. A rate is None when no frame counts for it."""

    seconds: float
    frames: int
    searches_per_second: float
    iterations: int
    latency_p50_ms: float
    latency_p99_ms: float
    events_published: int
    events_received: int
    abnormal_frames: int
    image_auroc: float | None
    detection_rate: float | None
    false_alarm_rate: float | None
    promised_false_alarm_rate: float
    defects_in_view: int
    defects_hit: int
    hit_rate_by_kind: dict[str, str]

    def to_json(self) -> str:
        """The figures as JSON."""
        return json.dumps(asdict(self), indent=1)

    def lines(self) -> list[str]:
        """The figures as lines for a terminal."""
        kinds = ", ".join(f"{kind} {hits}" for kind, hits in self.hit_rate_by_kind.items()) or "none"
        return [
            f"frames inspected      {self.frames} in {self.seconds:.1f} s, {self.abnormal_frames} painted",
            f"searches              {self.searches_per_second:.1f} tiles/s, {self.iterations} iterations each",
            f"latency per frame     p50 {self.latency_p50_ms:.0f} ms, p99 {self.latency_p99_ms:.0f} ms",
            f"events                {self.events_published} published, {self.events_received} received",
            f"image AUROC           {_format(self.image_auroc)}",
            f"detection rate        {_format(self.detection_rate)}",
            f"false-alarm rate      {_format(self.false_alarm_rate)}; the calibration promises "
            f"{self.promised_false_alarm_rate:g} for frames like those of its strip, and the camera sees another strip",
            f"defects hit by a box  {self.defects_hit} of {self.defects_in_view} ({kinds})",
        ]


def summarise(
    observations: Sequence[Observation],
    truths: Mapping[int, Truth],
    seconds: float,
    manifest: Manifest,
    published: int,
    received: int,
) -> DemoSummary:
    """Compare each inspected frame with its ground truth. Frames that are not `clear` count only for speed."""
    clear = [o for o in observations if truths[o.number].clear]
    normal = [o for o in clear if not truths[o.number].abnormal]
    abnormal = [o for o in clear if truths[o.number].abnormal]
    hits: dict[str, list[bool]] = {}
    for o in abnormal:
        truth = truths[o.number]
        for kind in truth.kinds if len(truth.kinds) == 1 else ("several kinds",):
            hits.setdefault(kind, []).append(_hit(o.inspection, truth))
    times = np.array([o.milliseconds for o in observations]) if observations else np.zeros(1)
    counted = [hit for kind in hits.values() for hit in kind]
    return DemoSummary(
        seconds=seconds,
        frames=len(observations),
        searches_per_second=sum(o.inspection.tiles for o in observations) / seconds,
        iterations=manifest.search.iterations,
        latency_p50_ms=float(np.percentile(times, 50)),
        latency_p99_ms=float(np.percentile(times, 99)),
        events_published=published,
        events_received=received,
        abnormal_frames=sum(truths[o.number].abnormal for o in observations),
        image_auroc=_auroc([o.inspection.score for o in normal], [o.inspection.score for o in abnormal]),
        detection_rate=_rate([o.inspection.is_abnormal for o in abnormal]),
        false_alarm_rate=_rate([o.inspection.is_abnormal for o in normal]),
        promised_false_alarm_rate=manifest.calibration.false_alarm_rate,
        defects_in_view=len(counted),
        defects_hit=sum(counted),
        hit_rate_by_kind={kind: f"{sum(h)}/{len(h)}" for kind, h in sorted(hits.items())},
    )


def _hit(inspection: InspectionResult, truth: Truth) -> bool:
    """Whether the centre of a box of the anomaly map lies within NEAR px of painted pixels."""
    near = cv2.dilate(truth.mask.astype(np.uint8), np.ones((2 * NEAR + 1, 2 * NEAR + 1), np.uint8))
    boxes = [d.bbox for d in inspection.defects if d.source == "map"]
    return any(bool(near[y + h // 2, x + w // 2]) for x, y, w, h in boxes)


def _auroc(normal: Sequence[float], abnormal: Sequence[float]) -> float | None:
    if not normal or not abnormal:
        return None
    margins = np.subtract.outer(np.array(abnormal), np.array(normal))  # every pair; ties count half
    return float((margins > 0).mean() + (margins == 0).mean() / 2)


def _rate(verdicts: Sequence[bool]) -> float | None:
    return sum(verdicts) / len(verdicts) if verdicts else None


def _format(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
