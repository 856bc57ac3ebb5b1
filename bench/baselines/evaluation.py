"""Baselines on the test images of a training: fitted, evaluated as models are, and kept in folders."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter
from typing import Literal

import cv2
import numpy as np
from tqdm import tqdm

from bench.baselines.base import Baseline
from bench.baselines.feature_knn import FeatureKnn
from bench.baselines.patch_pca import PatchPca
from bench.baselines.pooled import PooledInput
from latentline.errors import BackendError
from trainer.config import TrainConfig
from trainer.data.loading import load, read_each
from trainer.data.sources import open_source
from trainer.evaluation.accumulator import EvaluationAccumulator, Subject
from trainer.evaluation.evaluate import limited
from trainer.evaluation.report import GOOD, EvaluationReport, Scores, read_results, write_results

BaselineFactory = Callable[[TrainConfig], Baseline]
EvaluationResults = tuple[EvaluationReport, Scores]


def pooled_input(kind: Literal["residual", "l2"]) -> BaselineFactory:
    """Makes `PooledInput` with the tiles of a configuration."""
    return lambda config: PooledInput(kind, config.network.resolution, config.search.overlap)


WITHOUT_NETWORK: tuple[BaselineFactory, ...] = (pooled_input("residual"), pooled_input("l2"), lambda _: PatchPca())
ALL: tuple[BaselineFactory, ...] = (*WITHOUT_NETWORK, lambda _: FeatureKnn())


def evaluate_baseline(baseline: Baseline, config: TrainConfig, out: Path, limit: int | None = None) -> EvaluationReport:
    """Fit on the training images that `config` chooses, score its test images, write the evaluation into `out`.

    limit  largest number of test images of each kind, drawn by seed as for the models; None: all
    Raises DatasetError.
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
                score, prepared_map = baseline.score(prepare(frame))
                height, width = frame.shape[:2]
                resized = cv2.resize(prepared_map, (width, height), interpolation=cv2.INTER_LINEAR)
                anomaly_map = np.asarray(resized, np.float32)
                accumulator.seconds += perf_counter() - start
                mask = None if kind == GOOD else source.mask(name, (height, width))
                accumulator.add(name, kind, groups.get(name, name), frame, score, {}, anomaly_map, mask)
                bar.update()
    out.mkdir(parents=True, exist_ok=True)
    report = accumulator.report()
    write_results(out, report, accumulator.scores())
    return report


def baseline_results(
    config: TrainConfig, out: Path, factories: Sequence[BaselineFactory], limit: int | None = None
) -> tuple[dict[str, EvaluationResults], list[str]]:
    """Results by name of the baseline, and a sentence for each baseline that cannot run here.

    Evaluations are kept in folders under `out`, one for each limit, and read from there the next time.
    """
    place = out / ("baselines" if limit is None else f"baselines-{limit}")
    results: dict[str, EvaluationResults] = {}
    missing: list[str] = []
    for factory in factories:
        try:
            baseline = factory(config)
        except BackendError as error:
            missing.append(str(error))
            continue
        results[baseline.name] = kept_results(baseline, config, place / folder_name(baseline), limit)
    return results, missing


def kept_results(baseline: Baseline, config: TrainConfig, folder: Path, limit: int | None) -> EvaluationResults:
    """The results in `folder`; evaluates the baseline first where there are none."""
    if not (folder / "scores.json").is_file():
        evaluate_baseline(baseline, config, folder, limit)
    return read_results(folder)


def folder_name(baseline: Baseline) -> str:
    """Name of the folder of a baseline's evaluation."""
    return baseline.name.replace(",", "").replace(" ", "-")
