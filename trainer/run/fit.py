"""Train into a run folder (run_folder.py says what lies in it), from the beginning or from its checkpoint."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from tqdm import tqdm

from latentline.base.atomic import put_back
from latentline.errors import ConfigError, TrainingError
from trainer.config import TrainConfig
from trainer.loops.autoencoder import AutoencoderTraining
from trainer.loops.discriminator_finetuning import DiscriminatorFinetuning
from trainer.loops.encoder import EncoderTraining
from trainer.loops.gan import GanTraining
from trainer.loops.phases import GanPhases, Phase
from trainer.loops.training import StepReport, Training
from trainer.loops.workers import ALONE, Workers, open_workers
from trainer.run.config_differences import check_same_config
from trainer.run.folder import RunFolder
from trainer.run.log import log_to
from trainer.run.report import duration
from trainer.run.training_data import FitData, open_data
from trainer.signals import StopRequest, stop_on_signals

log = logging.getLogger(__name__)


def make_training(config: TrainConfig, data: FitData, workers: Workers = ALONE) -> Training:
    """The training of the configuration's method, at its beginning."""
    if not config.method.is_gan:
        return AutoencoderTraining(config, data.normal, workers)
    gan = GanTraining(config, data.normal, data.abnormal, workers)
    later: dict[str, tuple[int, Callable[[], Phase]]] = {}
    if config.schedule.encoder_images:
        encoder = partial(EncoderTraining, config, gan, data.normal, workers)
        later["encoder"] = config.schedule.encoder_images, encoder
    if config.schedule.discriminator_images:
        assert data.abnormal is not None
        verdict = partial(DiscriminatorFinetuning, config, gan, data.normal, data.abnormal, workers)
        later["verdict"] = config.schedule.discriminator_images, verdict
    return GanPhases(gan, later) if later else gan


def fit(
    config: TrainConfig,
    run: Path,
    resume: bool = False,
    stop_after: int | None = None,
    device: str = "auto",
    data_moved: bool = False,
) -> Path:
    """Train into the folder `run`; gives the checkpoint folder.

    resume      go on from the checkpoint in `run`, whose configuration must be the same; without one, begin
    stop_after  end early after so many images (the schedule stays as configured)
    device      auto, cpu, cuda or cuda:n
    data_moved  the checkpoint may name another data root
    Raises ConfigError, DatasetError, CheckpointError; TrainingError when a loss is not finite, the disk is full, or
    SIGINT or SIGTERM came: the last checkpoint is whole then.
    """
    with ExitStack() as stack:
        workers = stack.enter_context(open_workers(device))
        stop = stack.enter_context(stop_on_signals())
        _check_folder(config, run, resume, data_moved, workers)
        if workers.leads:
            run.mkdir(parents=True, exist_ok=True)
            stack.enter_context(log_to(run / "log.txt"))
        data = open_data(config)
        training, folder = make_training(config, data, workers), RunFolder(run, config, data, workers)
        stack.callback(folder.close)
        if folder.checkpoint.exists():
            folder.restore(training)
        _train(training, folder, min(training.total_images, stop_after or training.total_images), workers, stop)
    return folder.checkpoint


def _check_folder(config: TrainConfig, run: Path, resume: bool, data_moved: bool, workers: Workers) -> None:
    checkpoint = run / "checkpoint"
    if resume and workers.leads:
        put_back(checkpoint)
    workers.any(False)  # the others look only after that
    if checkpoint.exists() and not resume:
        raise ConfigError(f"{run}: holds a training already; use --resume to go on or give another folder")
    if checkpoint.exists():
        check_same_config(run, config, data_moved)


def _train(training: Training, folder: RunFolder, end: int, workers: Workers, stop: StopRequest) -> None:
    every = folder.checkpoint_images
    started = time.monotonic() - folder.seconds
    total, first = training.total_images, training.images
    with tqdm(total=total, initial=first, unit="img", smoothing=0.05, disable=not workers.leads) as bar:
        while training.images < end:
            before = training.images
            try:
                report = training.step()
            except TrainingError as error:
                raise TrainingError(f"{error}; {folder.kept_sentence()}") from None
            folder.seconds = time.monotonic() - started
            bar.update(training.images - before)
            if folder.note(report, last=training.images >= total):
                bar.set_postfix_str(_postfix(report))
            stopped = workers.any(stop.number is not None)
            if training.images // every > before // every or training.images >= end or stopped:
                folder.save(training)
            if stopped:
                raise _interrupted(stop.number or signal.SIGTERM, folder)
    if training.images >= total:
        folder.finish(training)
    if workers.leads and training.images > first:
        rate = (training.images - first) / max(time.monotonic() - started, 1e-9)
        log.info("%d images in %s, %.1f images/s", training.images, duration(folder.seconds), rate)


def _postfix(report: StepReport) -> str:
    growth = f"{4 * 2**report.stage}px" + (f" α{report.alpha:.2f}" if report.alpha < 1 else "")
    return " ".join([growth, *(f"{name} {value:.3f}" for name, value in report.losses.items())])


def _interrupted(number: int, folder: RunFolder) -> TrainingError:
    error = TrainingError(f"stopped by {signal.Signals(number).name}; {folder.kept_sentence()}; go on with --resume")
    error.exit_code = 128 + number
    return error
