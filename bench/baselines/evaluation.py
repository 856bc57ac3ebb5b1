"""Baselines on the test images of a training: fitted, given a threshold, evaluated as models are, kept in folders."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from bench.baselines.base import Baseline
from bench.baselines.choice import BaselineFactory
from latentline.base.atomic import write_text
from latentline.errors import BackendError, ConfigError
from latentline.scoring.calibration import FALSE_ALARM_RATE
from latentline.scoring.held_out import split_held_out
from latentline.scoring.thresholds import conformal_threshold, too_few
from trainer.config import TrainConfig
from trainer.data.loading import load, read_each
from trainer.data.source import ImageSource
from trainer.data.sources import open_source
from trainer.data.split import Split
from trainer.evaluation.accumulator import EvaluationAccumulator, Subject
from trainer.evaluation.evaluate import limited
from trainer.evaluation.report import GOOD, EvaluationReport, Scores, read_results, write_results

UInt8 = npt.NDArray[np.uint8]
TRAINING = "training.json"


class BaselineResults(NamedTuple):
    """An evaluation as read from its folder; seconds of training: None where an older version did not write them."""

    report: EvaluationReport
    scores: Scores
    training_seconds: float | None


def evaluate_baseline(baseline: Baseline, config: TrainConfig, out: Path, limit: int | None = None) -> EvaluationReport:
    """Fit on the training images that `config` chooses, score its test images, write the evaluation into `out`.

    All on one thread. The threshold comes from the held-out images that fix the models' thresholds too.
    limit  largest number of test images of each kind, drawn by seed as for the models; None: all
    Raises DatasetError.
    """
    source = open_source(config.data, config.preprocessing)
    split = limited(source.split(config.schedule.seed), limit, config.schedule.seed)
    with threadpool_limits(1):
        seconds = _fit(baseline, config, source, split)
        accumulator = EvaluationAccumulator(Subject(baseline.name, baseline.name, "one thread"))
        accumulator.threshold = _threshold(baseline, config, source, split)
        accumulator.false_alarm_rate = None if accumulator.threshold is None else FALSE_ALARM_RATE
        _score_tests(baseline, config, source, split, accumulator)
    out.mkdir(parents=True, exist_ok=True)
    report = accumulator.report()
    write_text(out / TRAINING, json.dumps({"seconds": seconds}))
    write_results(out, report, accumulator.scores())
    return report


def baseline_results(
    config: TrainConfig, out: Path, factories: Sequence[BaselineFactory], limit: int | None = None
) -> tuple[dict[str, BaselineResults], list[str]]:
    """Results by name of the baseline, and a sentence for each reason why baselines cannot run here.

    Evaluations are kept in folders under `out`, one for each limit, and read from there the next time.
    """
    place = out / ("baselines" if limit is None else f"baselines-{limit}")
    results: dict[str, BaselineResults] = {}
    missing: list[str] = []
    for factory in factories:
        try:
            baseline = factory(config)
        except (BackendError, ConfigError) as error:
            missing.append(str(error))
            continue
        results[baseline.name] = kept_results(baseline, config, place / folder_name(baseline), limit)
    return results, list(dict.fromkeys(missing))


def kept_results(baseline: Baseline, config: TrainConfig, folder: Path, limit: int | None) -> BaselineResults:
    """The results in `folder`; evaluates the baseline first where there are none.

    Raises ConfigError when the results there are of other test images.
    """
    if not (folder / "scores.json").is_file():
        evaluate_baseline(baseline, config, folder, limit)
    report, scores = read_results(folder)
    split = open_source(config.data, config.preprocessing).split(config.schedule.seed)
    tested = {*split.test_good, *(name for names in split.test_abnormal.values() for name in names)}
    if not scores.images.keys() <= tested:
        raise ConfigError(f"{folder}: holds an evaluation of other test images; give another folder for results")
    training = folder / TRAINING
    seconds = float(json.loads(training.read_text(encoding="utf-8"))["seconds"]) if training.is_file() else None
    return BaselineResults(report, scores, seconds)


def folder_name(baseline: Baseline) -> str:
    """Name of the folder of a baseline's evaluation."""
    return baseline.name.replace(",", "").replace(" ", "-")


def _seen(baseline: Baseline, config: TrainConfig, frame: UInt8) -> UInt8:
    return frame if baseline.raw else config.preprocessing.apply(frame)


def _fit(baseline: Baseline, config: TrainConfig, source: ImageSource, split: Split) -> float:
    """Fit the baseline; returns the seconds that it took without reading and preparing images."""
    images = list(load(source, split.train, None if baseline.raw else config.preprocessing.apply).images.values())
    start, spared = perf_counter(), baseline.spared_seconds
    baseline.fit(images)
    return perf_counter() - start + baseline.spared_seconds - spared


def _threshold(baseline: Baseline, config: TrainConfig, source: ImageSource, split: Split) -> float | None:
    """The threshold; None where no normal image is tested, or too few are held out."""
    names = split_held_out(split.held_out, source.groups(), config.schedule.seed)[1]
    if not split.test_good or too_few(len(names), FALSE_ALARM_RATE):
        return None
    frames = tqdm(read_each(source, names, []), total=len(names), desc=f"{baseline.name}, threshold", delay=2)
    scores = [baseline.score(_seen(baseline, config, frame))[0] for _, frame in frames]
    return conformal_threshold(np.array(scores), FALSE_ALARM_RATE)


def _score_tests(
    baseline: Baseline, config: TrainConfig, source: ImageSource, split: Split, accumulator: EvaluationAccumulator
) -> None:
    groups = source.groups()
    kinds = {GOOD: split.test_good, **split.test_abnormal}
    with tqdm(total=sum(map(len, kinds.values())), unit="img", desc=baseline.name, delay=2) as bar:
        for kind, names in kinds.items():
            for name, frame in read_each(source, names, accumulator.skipped):
                start, spared = perf_counter(), baseline.spared_seconds
                score, coarse = baseline.score(_seen(baseline, config, frame))
                height, width = frame.shape[:2]
                resized = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
                accumulator.seconds += perf_counter() - start + baseline.spared_seconds - spared
                mask = None if kind == GOOD else source.mask(name, (height, width))
                anomaly_map = np.asarray(resized, np.float32)
                accumulator.add(name, kind, groups.get(name, name), frame, score, {}, anomaly_map, mask)
                bar.update()
