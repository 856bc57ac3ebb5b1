"""The contract of a baseline, and the one loop that judges them all on the test images of a training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from trainer.config import TrainConfig
from trainer.data.loading import load, read_each
from trainer.data.sources import open_source
from trainer.evaluation.accumulator import EvaluationAccumulator, Subject
from trainer.evaluation.evaluate import limited
from trainer.evaluation.report import GOOD, EvaluationReport, write_results

Float = npt.NDArray[np.float32]
UInt8 = npt.NDArray[np.uint8]


class Baseline(Protocol):
    """Judges prepared images uint8 [h, w, C] of any size."""

    name: str

    def fit(self, normal: Sequence[UInt8]) -> None:
        """Look at normal images, prepared as the model's training images are."""
        ...

    def score(self, prepared: UInt8) -> tuple[float, Float]:
        """Anomaly score, and the anomaly map float32 [h, w], not negative; larger is more abnormal."""
        ...


def judge(baseline: Baseline, config: TrainConfig, out: Path, limit: int | None = None) -> EvaluationReport:
    """Fit on the training images that `config` chooses, score its test images; writes an evaluation into `out`.

    limit  at most so many test images of each kind, seeded as for the models. Raises DatasetError.
    """
    source, prepare = open_source(config.data), config.preprocessing.apply
    split = limited(source.split(config.schedule.seed), limit, config.schedule.seed)
    groups = source.groups()
    baseline.fit(list(load(source, split.train, prepare).images.values()))
    accumulator = EvaluationAccumulator(Subject(baseline.name, baseline.name, "no network of its own"))
    kinds = {GOOD: split.test_good, **split.test_abnormal}
    with tqdm(total=sum(map(len, kinds.values())), unit="img", desc=baseline.name, delay=2) as bar:
        for kind, names in kinds.items():
            for name, frame in read_each(source, names, accumulator.skipped):
                start = perf_counter()
                score, plane = baseline.score(prepare(frame))
                height, width = frame.shape[:2]
                plane = cv2.resize(plane, (width, height), interpolation=cv2.INTER_LINEAR)
                accumulator.seconds += perf_counter() - start
                mask = None if kind == GOOD else source.mask(name, (height, width))
                accumulator.add(name, kind, groups.get(name, name), frame, score, {}, plane, mask)
                bar.update()
    out.mkdir(parents=True, exist_ok=True)
    report = accumulator.report()
    write_results(out, report, accumulator.scores())
    return report
