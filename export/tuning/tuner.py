"""Tries settings of a package: each on the clock, and those near the budget on the held-out images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from export.tuning.candidates import package_at
from export.tuning.choice import TriedSetting
from export.tuning.timing import median_milliseconds
from latentline.backends.openvino.searcher import OpenVinoSearcher
from latentline.backends.openvino.trunk import open_trunk
from latentline.package.model_package import ModelPackage
from latentline.scoring.calibrate import Calibrated, with_thresholds
from latentline.scoring.look_misses import LookMisses
from latentline.scoring.tuning import Device, TunedSetting
from latentline.trunk.maps import TrunkMaps
from trainer.config import TrainConfig
from trainer.evaluation.calibrate_held_out import with_progress
from trainer.evaluation.count_look_misses import count_look_misses
from trainer.evaluation.judged_score import JudgedScore, WeighingFrames, judge_score

FEW = 3  # frames
SURELY_ABOVE = 2.0  # budgets: what a calibration may drop, D's verdict on G(ẑ), costs no more than all else together


@dataclass(frozen=True)
class Tuner:
    """A package with the frames that judge its settings, and those that time them.

    threads  of the CPU
    budget   milliseconds a frame
    """

    package: ModelPackage
    weighing: WeighingFrames
    timed: Sequence[npt.NDArray[np.uint8]]
    device: Device
    threads: int
    budget: float

    def try_settings(self, settings: Sequence[TunedSetting]) -> list[TriedSetting]:
        """Each setting with its time and what it tells, with a progress bar.

        One far above the budget is not judged, and what costs no less is not tried.
        """
        judged: dict[TunedSetting, JudgedScore] = {}
        tried: list[TriedSetting] = []
        for setting in tqdm(settings, unit="setting", desc="comparing settings"):
            if any(setting.costs_no_less(one.setting) for one in tried):
                continue
            (milliseconds,) = self.milliseconds([package_at(self.package, setting)], few=True)
            if milliseconds <= SURELY_ABOVE * self.budget:
                judged[setting] = self._judge(setting)
            else:
                tried.append(TriedSetting(setting, milliseconds, None))
        times = self.milliseconds([package_at(self.package, s, found.calibrated) for s, found in judged.items()])
        return [*tried, *(TriedSetting(s, time, judged[s]) for s, time in zip(judged, times, strict=True))]

    def milliseconds(
        self, packages: Sequence[ModelPackage], threads: int | None = None, few: bool = False
    ) -> list[float]:
        """The median time of a frame, of each package in turns; few: of a few frames, to know about how long."""
        return median_milliseconds(packages, self.timed[: FEW if few else None], self.device, threads or self.threads)

    def calibrate(
        self, setting: TunedSetting, weighed: Calibrated, config: TrainConfig
    ) -> tuple[Calibrated, LookMisses | None]:
        """The score of a setting with thresholds, and what its first look misses, as `package` does: on the CPU."""
        held_out = self.weighing.held_out
        package = package_at(self.package, setting)
        own = package.manifest.calibration
        tail = "exact" if own.promise is None else own.promise.tail
        searcher, trunk = OpenVinoSearcher(package, self.threads), self._trunk()
        try:
            scored = with_progress(held_out.scored, "threshold")
            rate, parts = own.false_alarm_rate, held_out.scored_parts
            found = with_thresholds(searcher, package.tiler, weighed, scored, rate, parts, tail, trunk)
            return found, count_look_misses(searcher, package.tiler, config, held_out)
        finally:
            _close(searcher, trunk)

    def _judge(self, setting: TunedSetting) -> JudgedScore:
        package = package_at(self.package, setting)
        searcher, trunk = OpenVinoSearcher(package, self.threads), self._trunk()
        try:
            with tqdm(total=len(self.weighing.masks), unit="img", desc=str(setting), delay=2, leave=False) as bar:
                return judge_score(
                    searcher, package.tiler, package.manifest.map, self.weighing, trunk, lambda: bar.update()
                )
        finally:
            _close(searcher, trunk)

    def _trunk(self) -> TrunkMaps | None:
        extractor = open_trunk(self.package, self.threads)
        if extractor is None or self.package.trunk is None:
            return None
        return TrunkMaps(extractor, self.package.trunk.statistics)


def _close(searcher: OpenVinoSearcher, trunk: TrunkMaps | None) -> None:
    searcher.close()
    if trunk is not None:
        trunk.close()
