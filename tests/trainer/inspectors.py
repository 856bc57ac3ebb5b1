"""A reconstructor without a model: every figure of an evaluation can be computed by hand."""

from collections.abc import Callable

import numpy as np

from latentline.inspection.inspector import Inspector
from latentline.inspection.reconstructor import ReconstructedFrame
from latentline.scoring.calibration import Calibration, Component
from latentline.vision.tiles import TilePlan


class BrightnessReconstructor:
    """The brightest pixel is the score, brightness the map; `order` notes when frames begin and finish."""

    name = "brightness"

    def __init__(self, ahead: int = 1, broken: int | None = None) -> None:
        self.ahead, self._broken = ahead, broken
        self.order: list[tuple[str, int]] = []

    def begin(self, frame: np.ndarray) -> Callable[[], ReconstructedFrame]:
        number = sum(step == "begin" for step, _ in self.order)
        self.order.append(("begin", number))
        return lambda: self._reconstructed(frame, number)

    def close(self) -> None:
        pass

    def _reconstructed(self, frame: np.ndarray, number: int) -> ReconstructedFrame:
        self.order.append(("finish", number))
        plane = frame.astype(np.float32)
        values = {"peak": float(plane.max()), "loss": -float(plane.mean()), "d_frame": float(plane.std())}
        if number == self._broken:
            values["peak"] = float("nan")
        height, width = frame.shape
        plan = TilePlan.cover(height, width, min(height, width), 0.0)
        picture = frame[..., None]
        return ReconstructedFrame(picture, plan, plane, picture, values, {}, {})


def brightness_inspector(threshold: float = 200.0, ahead: int = 1, broken: int | None = None) -> Inspector:
    calibration = Calibration(
        components=(Component(name="peak", mean=0, std=1, weight=1),),
        threshold=threshold,
        map_threshold=threshold,
        false_alarm_rate=0.05,
        scored_normals=19,
        standardised_normals=8,
    )
    return Inspector(BrightnessReconstructor(ahead, broken), calibration)
