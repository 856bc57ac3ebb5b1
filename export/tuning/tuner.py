"""Tries settings of a package: each on the clock, and those near the budget on the held-out images."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from export.tuning.candidates import package_at
from export.tuning.choice import TriedSetting
from export.tuning.precision import check_moved, in_precision
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
from trainer.evaluation.count_look_misses import count_look_misses, say_look_misses
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

    def calibrate(self, setting: TunedSetting, weighed: Calibrated) -> Calibrated:
        """The score of a setting with thresholds, as `latentline-export package` gives it: searched on the CPU.

        Raises VerificationError where bfloat16 moves the score of a normal image too far.
        """
        package = package_at(self.package, setting)
        found = self._with_thresholds(package, weighed)
        if package.manifest.cpu_precision == "bfloat16":
            exact = self._with_thresholds(in_precision(package, "float32"), weighed)
            check_moved(package.manifest.name, found.normal_scores, exact.normal_scores)
        return found

    def look_misses(self, setting: TunedSetting, config: TrainConfig) -> LookMisses | None:
        """What the first look of a setting misses; None where it has none."""
        package = package_at(self.package, setting)
        with closing(opened(package, self.threads)) as searcher:
            misses = count_look_misses(searcher, package.tiler, config, self.weighing.held_out)
        say_look_misses(misses)
        return misses

    def _with_thresholds(self, package: ModelPackage, weighed: Calibrated) -> Calibrated:
        held_out, own = self.weighing.held_out, package.manifest.calibration
        tail = "exact" if own.promise is None else own.promise.tail
        with ExitStack() as stack:
            searcher, trunk = stack.enter_context(closing(opened(package, self.threads))), self._trunk(stack)
            scored = with_progress(held_out.scored, "threshold")
            rate, parts = own.false_alarm_rate, held_out.scored_parts
            return with_thresholds(searcher, package.tiler, weighed, scored, rate, parts, tail, trunk)

    def _judge(self, setting: TunedSetting) -> JudgedScore:
        package = package_at(self.package, setting)
        frames, kind = self.weighing, package.manifest.map
        with ExitStack() as stack:
            searcher, trunk = stack.enter_context(closing(opened(package, self.threads))), self._trunk(stack)
            bar = tqdm(total=len(frames.masks), unit="img", desc=str(setting), delay=2, leave=False)
            advance = stack.enter_context(bar).update
            return judge_score(searcher, package.tiler, kind, frames, trunk, advance)

    def _trunk(self, stack: ExitStack) -> TrunkMaps | None:
        extractor, packaged = open_trunk(self.package, self.threads), self.package.trunk
        if extractor is None or packaged is None:
            return None
        return stack.enter_context(closing(TrunkMaps(extractor, packaged.statistics)))


def opened(package: ModelPackage, threads: int) -> OpenVinoSearcher:
    """The searcher of a package in its precision, with all components."""
    return OpenVinoSearcher(package, threads, half=package.manifest.cpu_precision == "bfloat16")
