"""The figures of a demo run, from inspections and ground truth."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import cv2
import numpy as np

from edge_runtime.tools.demo.camera import PaintedDefect, Truth
from latentline.base.counted import counted
from latentline.inspection.result import InspectionResult
from latentline.package.manifest import Manifest

NEAR = 8  # px; how far from the paint the centre of a box may lie


@dataclass(frozen=True)
class Observation:
    """What counts of one inspected frame.

    milliseconds  wall time
    alarm         whether the station called it abnormal
    painted       whether a defect is in view
    clear         as in Truth
    hits          for each defect in view its kind, and whether a box hit it
    """

    milliseconds: float
    tiles: int
    score: float
    alarm: bool
    painted: bool
    clear: bool
    hits: tuple[tuple[str, bool], ...]


@dataclass(frozen=True)
class DemoSummary:
    """The figures of one run. A rate is None when no frame counts for it."""

    seconds: float
    frames: int
    tiles_per_second: float
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
            f"tiles                 {self.tiles_per_second:.0f} a second, {counted(self.iterations, 'search step')} "
            "each",
            f"latency per frame     p50 {self.latency_p50_ms:.0f} ms, p99 {self.latency_p99_ms:.0f} ms",
            f"events                {self.events_published} published, {self.events_received} received",
            f"image AUROC           {_format(self.image_auroc)}",
            f"detection rate        {_format(self.detection_rate)}",
            f"false-alarm rate      {_format(self.false_alarm_rate)}; the calibration promises "
            f"{self.promised_false_alarm_rate:g}",
            f"defects hit by a box  {self.defects_hit} of {self.defects_in_view} ({kinds})",
        ]


def compare(inspection: InspectionResult, truth: Truth) -> Observation:
    """One inspection beside the ground truth of its frame."""
    return Observation(
        milliseconds=sum(inspection.milliseconds.values()),
        tiles=inspection.tiles,
        score=inspection.score,
        alarm=inspection.is_abnormal,
        painted=truth.abnormal,
        clear=truth.clear,
        hits=tuple((defect.kind, _hit(inspection, defect)) for defect in truth.defects),
    )


def summarise(
    observations: Sequence[Observation], seconds: float, manifest: Manifest, published: int, received: int
) -> DemoSummary:
    """The figures of the inspected frames. Frames that are not `clear` count only for speed."""
    normal = [o for o in observations if o.clear and not o.painted]
    abnormal = [o for o in observations if o.clear and o.painted]
    hits: dict[str, list[bool]] = {}
    for kind, hit in (hit for o in abnormal for hit in o.hits):
        hits.setdefault(kind, []).append(hit)
    times = np.array([o.milliseconds for o in observations]) if observations else np.zeros(1)
    counted = [hit for kind in hits.values() for hit in kind]
    return DemoSummary(
        seconds=seconds,
        frames=len(observations),
        tiles_per_second=sum(o.tiles for o in observations) / seconds,
        iterations=manifest.search.iterations,
        latency_p50_ms=float(np.percentile(times, 50)),
        latency_p99_ms=float(np.percentile(times, 99)),
        events_published=published,
        events_received=received,
        abnormal_frames=sum(o.painted for o in observations),
        image_auroc=_auroc([o.score for o in normal], [o.score for o in abnormal]),
        detection_rate=_rate([o.alarm for o in abnormal]),
        false_alarm_rate=_rate([o.alarm for o in normal]),
        promised_false_alarm_rate=manifest.calibration.false_alarm_rate,
        defects_in_view=len(counted),
        defects_hit=sum(counted),
        hit_rate_by_kind={kind: f"{sum(h)}/{len(h)}" for kind, h in sorted(hits.items())},
    )


def _hit(inspection: InspectionResult, defect: PaintedDefect) -> bool:
    """Whether the centre of a box of the anomaly map lies within NEAR px of the defect's pixels."""
    near = cv2.dilate(defect.mask.astype(np.uint8), np.ones((2 * NEAR + 1, 2 * NEAR + 1), np.uint8))
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
