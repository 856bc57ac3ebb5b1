"""What the demo measured, against the ground truth."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import cv2
import numpy as np

from edge_runtime.tools.demo.camera import Truth
from latentline.inspection.result import InspectionResult
from latentline.package.manifest import Manifest

NEAR = 6  # px


@dataclass(frozen=True)
class Seen:
    """One inspected frame: its number, verdict and wall time in ms."""

    number: int
    inspection: InspectionResult
    milliseconds: float


@dataclass(frozen=True)
class DemoSummary:
    """Figures of one run. Rates are None where there was nothing to count."""

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
        """As JSON."""
        return json.dumps(asdict(self), indent=1)

    def lines(self) -> list[str]:
        """For a terminal."""
        kinds = ", ".join(f"{kind} {hits}" for kind, hits in self.hit_rate_by_kind.items()) or "none"
        return [
            f"frames inspected      {self.frames} in {self.seconds:.1f} s, {self.abnormal_frames} painted",
            f"searches              {self.searches_per_second:.1f} tiles/s, {self.iterations} iterations each",
            f"latency per frame     p50 {self.latency_p50_ms:.0f} ms, p99 {self.latency_p99_ms:.0f} ms",
            f"events                {self.events_published} published, {self.events_received} received",
            f"image AUROC           {_shown(self.image_auroc)}",
            f"detection rate        {_shown(self.detection_rate)}",
            f"false-alarm rate      {_shown(self.false_alarm_rate)}; {self.promised_false_alarm_rate:g} is promised "
            "for frames like those of the calibration strip, and the camera sees another strip",
            f"defects hit by a box  {self.defects_hit} of {self.defects_in_view} ({kinds})",
        ]


def summarise(
    seen: Sequence[Seen],
    truths: Mapping[int, Truth],
    seconds: float,
    manifest: Manifest,
    published: int,
    received: int,
) -> DemoSummary:
    """Compare every inspected frame with its truth; frames that are not `clear` count for speed only."""
    clear = [s for s in seen if truths[s.number].clear]
    normal = [s for s in clear if not truths[s.number].abnormal]
    abnormal = [s for s in clear if truths[s.number].abnormal]
    hits: dict[str, list[bool]] = {}
    for s in abnormal:
        truth = truths[s.number]
        for kind in truth.kinds if len(truth.kinds) == 1 else ("several kinds",):
            hits.setdefault(kind, []).append(_hit(s.inspection, truth))
    times = np.array([s.milliseconds for s in seen]) if seen else np.zeros(1)
    counted = [hit for kind in hits.values() for hit in kind]
    return DemoSummary(
        seconds=seconds,
        frames=len(seen),
        searches_per_second=sum(s.inspection.tiles for s in seen) / seconds,
        iterations=manifest.search.iterations,
        latency_p50_ms=float(np.percentile(times, 50)),
        latency_p99_ms=float(np.percentile(times, 99)),
        events_published=published,
        events_received=received,
        abnormal_frames=sum(truths[s.number].abnormal for s in seen),
        image_auroc=_auroc([s.inspection.score for s in normal], [s.inspection.score for s in abnormal]),
        detection_rate=_rate([s.inspection.is_abnormal for s in abnormal]),
        false_alarm_rate=_rate([s.inspection.is_abnormal for s in normal]),
        promised_false_alarm_rate=manifest.calibration.false_alarm_rate,
        defects_in_view=len(counted),
        defects_hit=sum(counted),
        hit_rate_by_kind={kind: f"{sum(h)}/{len(h)}" for kind, h in sorted(hits.items())},
    )


def _hit(inspection: InspectionResult, truth: Truth) -> bool:
    """Whether the centre of a box that comes from the map lies within NEAR px of painted pixels."""
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


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
