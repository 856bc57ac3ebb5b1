"""Train a model into a run folder (`folder.py` lists what is in it), from the beginning or from its checkpoint."""

from __future__ import annotations

import logging
import signal
import time
from contextlib import ExitStack
from pathlib import Path
from typing import NoReturn

from tqdm import tqdm

from latentline.base.atomic import put_back
from latentline.base.durations import duration
from latentline.base.only_writer import only_writer
from latentline.base.places import check_folder
from latentline.base.signals import StopRequest, stop_on_signals
from latentline.errors import ConfigError, StoppedError, TrainingError
from trainer.config import TrainConfig
from trainer.data.found_depth import with_bit_depth
from trainer.data.source import ImageSource
from trainer.data.split import Split
from trainer.loops.factory import build_training
from trainer.loops.training import StepReport, Training
from trainer.loops.workers import Workers, open_workers
from trainer.loops.workload import Workload, measure_workload
from trainer.run.config_differences import check_same_config
from trainer.run.folder import RunFolder
from trainer.run.log import log_to
from trainer.run.opening import open_run, with_resumed_scale
from trainer.run.timer import Timer
from trainer.run.training_data import load_training_data, open_training_source
from trainer.trunk.module import check_trunk_weights

FIRST_CHECKPOINT_SECONDS = 60.0  # after the start, whatever schedule.checkpoint_images says
MOST_SECONDS = 900.0  # between two later checkpoints
log = logging.getLogger(__name__)


def fit(
    config: TrainConfig,
    run: Path,
    resume: bool = False,
    stop_after: int | None = None,
    device: str = "auto",
    data_moved: bool = False,
) -> Path:
    """Train into the folder `run`; give the checkpoint folder.

    resume      continue from the checkpoint in `run`, which must have the same configuration; start if there is none
    stop_after  end early, once this many images were shown; the schedule stays as configured
    device      auto, cpu, cuda or cuda:n
    data_moved  accept a checkpoint with another data root
    Raises ConfigError, DatasetError and CheckpointError. Raises TrainingError when a loss is not finite, the disk is
    full, or SIGINT or SIGTERM comes; the last checkpoint is whole then.
    """
    with ExitStack() as stack:
        check_trunk_weights(config.trunk)
        workers = stack.enter_context(open_workers(device))
        stop = stack.enter_context(stop_on_signals())
        if workers.is_main:
            check_folder(run)
            run.mkdir(parents=True, exist_ok=True)
            stack.enter_context(only_writer(run / "log.txt", "trains"))
        config = _check_folder(config, run, resume, data_moved, workers)
        if workers.is_main:
            stack.enter_context(log_to(run / "log.txt"))
        opened = open_training_source(config)
        resumed = (run / "checkpoint").exists()
        if not resumed:
            config, opened = _at_depth(config, *opened)
        config = open_run(config, *opened, resumed=resumed)
        data = load_training_data(config, opened)
        training = build_training(config, data.normal, data.abnormal, workers)
        folder = RunFolder(run, config, data, workers)
        stack.callback(folder.close)
        if folder.checkpoint.exists():
            folder.restore(training)
        folder.begin()
        end = min(training.total_images, stop_after or training.total_images)
        workload = measure_workload(config, training.total_images, workers.device)
        _train(training, folder, end, config.schedule.checkpoint_images, workload, workers, stop)
        if training.images >= training.total_images:
            folder.finish(training)
    return folder.checkpoint


def _check_folder(config: TrainConfig, run: Path, resume: bool, data_moved: bool, workers: Workers) -> TrainConfig:
    """The configuration that the run continues with, once it may. Raises ConfigError when it may not."""
    checkpoint = run / "checkpoint"
    if resume and workers.is_main:
        put_back(checkpoint)
    workers.any(False)  # the other processes wait here until the checkpoint is back in its place
    if checkpoint.exists() and not resume:
        raise ConfigError(f"{run}: this folder holds a training; use --resume to continue it, or give another folder")
    config = with_resumed_scale(config, checkpoint)
    if checkpoint.exists():
        check_same_config(run, config, data_moved)
    return config


def _at_depth(config: TrainConfig, source: ImageSource, split: Split) -> tuple[TrainConfig, tuple[ImageSource, Split]]:
    """The configuration with the bit depth of its images, and these at that depth."""
    preprocessing, source = with_bit_depth(config.preprocessing, source, split)
    return config.model_copy(update={"preprocessing": preprocessing}), (source, split)


def _train(
    training: Training,
    folder: RunFolder,
    end: int,
    checkpoint_images: int,
    workload: Workload,
    workers: Workers,
    stop: StopRequest,
) -> None:
    """Step until `end` images were shown.

    Save a checkpoint every `checkpoint_images`, a minute after the start, at the end, and on a signal.
    """
    started = time.monotonic() - folder.seconds
    total, first = training.total_images, training.images
    unsaved, patience = Timer(), MOST_SECONDS if folder.saved_images else FIRST_CHECKPOINT_SECONDS
    with _progress_bar(workload, first, workers) as bar:
        while training.images < end:
            before = training.images
            try:
                report = training.step()
            except TrainingError as error:
                raise type(error)(f"{error}; {folder.checkpoint_sentence()}") from None
            folder.seconds = time.monotonic() - started
            bar.update(workload.done(training.images) - bar.n)
            if folder.record(report, last=training.images >= total):
                bar.set_postfix_str(_postfix(report, total))
            stopped = workers.any(stop.number is not None)
            due = training.images // checkpoint_images > before // checkpoint_images or unsaved.seconds > patience
            if due or training.images >= end or stopped:
                folder.save(training)
                unsaved.restart()
                patience = MOST_SECONDS
            if stopped:
                left = f"{folder.checkpoint_sentence()}; continue with --resume"
                raise StoppedError(stop.number or signal.SIGTERM, left)
    if workers.is_main and training.images > first:
        rate = training.images / max(folder.seconds, 1e-9)
        log.info("%d images in %s, %.1f images/s", training.images, duration(folder.seconds), rate)


def _progress_bar(workload: Workload, images: int, workers: Workers) -> tqdm[NoReturn]:
    """A bar of work done instead of images shown, so that the time it says is left counts the slow late stages."""
    shape = "{percentage:3.0f}%|{bar}| {elapsed}, {remaining} left{postfix}"
    return tqdm(
        total=workload.total,
        initial=workload.done(images),
        smoothing=0.05,
        bar_format=shape,
        disable=not workers.is_main,
    )


def _postfix(report: StepReport, total: int) -> str:
    shown = f"{report.images:,} of {total:,} img"
    growth = f"{4 * 2**report.stage}px" + (f" α{report.alpha:.2f}" if report.alpha < 1 else "")
    return " ".join([shown, growth, *(f"{name} {value:.3f}" for name, value in report.losses.items())])
