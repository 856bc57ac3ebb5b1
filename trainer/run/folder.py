"""The folder of one run: the main process writes log, checkpoints, pictures and report into it.

config.yaml · checkpoint/ · log.txt · metrics.jsonl (a line every LOG_EVERY steps) · tensorboard/ · curves.png ·
samples.png · tiles.png (at the end) · report.md

The first and third are there from the start, metrics.jsonl within seconds, the others with the first checkpoint.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch.nn.functional as F

from latentline.base.atomic import write_text
from latentline.base.counted import counted
from latentline.errors import CheckpointError, TrainingError
from latentline.vision.preprocessing import to_model_range
from trainer.checkpoint import dump_config, load_checkpoint, read_training_state, save_checkpoint
from trainer.config import TrainConfig
from trainer.coverage import CoverageMeter
from trainer.data.split import Split
from trainer.loops.training import StepReport, Training
from trainer.loops.workers import Workers
from trainer.run.health import coverage_warning, health_warnings, measure_diversity
from trainer.run.history import FitCoverage, Record, read_history, write_history
from trainer.run.pictures import GRID, save_curves, save_samples
from trainer.run.report import RunFacts, samples_are_reconstructions, write_run_report
from trainer.run.tensorboard import TensorBoardWriter
from trainer.run.tiles import draw_tiles
from trainer.run.timer import Timer
from trainer.run.training_data import TrainingData

Float = npt.NDArray[np.float32]
LOG_EVERY = 20
SLOW_SECONDS = 10.0  # a record is kept at least this often, however slow the steps are
WRITE_SECONDS = 5.0  # between two writes of metrics.jsonl
log = logging.getLogger(__name__)


class RunFolder:
    """The files of a run, and the records of its steps.

    saved_images  images shown at the checkpoint on disk; None before the first checkpoint
    seconds       of training, over all sessions
    """

    def __init__(self, path: Path, config: TrainConfig, data: TrainingData, workers: Workers) -> None:
        self.path, self.checkpoint = path, path / "checkpoint"
        self.saved_images: int | None = None
        self.seconds = 0.0
        self._config, self._data, self._workers = config, data, workers
        self._records: list[Record] = []
        self._steps = self._resumed_at = 0
        self._diversity: float | None = None
        self._meter: CoverageMeter | None = None
        self._coverage: FitCoverage | None = None
        self._coverage_problem: str | None = None
        self._trained_before: Mapping[str, frozenset[str]] = {}
        self._tensorboard: TensorBoardWriter | None = None
        self._since_record, self._since_write = Timer(), Timer()

    def restore(self, training: Training) -> None:
        """Continue `training` from the checkpoint. Raises CheckpointError when it is broken or its images changed."""
        state = read_training_state(self.checkpoint)
        try:
            split, run = Split.from_json(state.metadata["split"]), state.metadata["run"]
            self._steps, self.seconds, processes = int(run["steps"]), float(run["seconds"]), int(run["processes"])
            self._coverage_problem = run.get("coverage_problem")
            self._trained_before = {side: frozenset(on) for side, on in state.metadata.get("trained_on", {}).items()}
        except (KeyError, TypeError, ValueError):
            raise CheckpointError(
                f"{self.checkpoint}: another version wrote this checkpoint; start in a new folder"
            ) from None
        if split != self._data.split:
            raise CheckpointError(
                f"{self._config.data.root}: its images are no longer those of {self.checkpoint}; "
                "put them back, or start in a new folder"
            )
        training.restore(state)
        self.saved_images = self._resumed_at = training.images
        self._records = read_history(self.path / "metrics.jsonl", self.saved_images)
        self._diversity = next((r.diversity for r in reversed(self._records) if r.diversity is not None), None)
        self._coverage = next((r.coverage for r in reversed(self._records) if r.coverage is not None), None)
        log.info("resumed after %s", counted(self.saved_images, "image"))
        if processes != self._workers.count:
            log.info(
                "each batch is now divided among %s instead of %d; sums over it are rounded differently",
                counted(self._workers.count, "process", "processes"),
                processes,
            )

    def begin(self) -> None:
        """Write what is known before the first step. Raises TrainingError when the folder cannot be written."""
        if self._workers.is_main:
            with self._writing():
                write_text(self.path / "config.yaml", dump_config(self._config))

    def record(self, report: StepReport, last: bool) -> bool:
        """Count a step, and keep the report of every LOG_EVERY-th and of the last; give whether it was kept.

        Of slow steps more are kept. Raises TrainingError when metrics.jsonl cannot be written.
        """
        self._steps += 1
        if self._steps % LOG_EVERY and not last and self._since_record.seconds < SLOW_SECONDS:
            return False
        self._since_record.restart()
        self._records.append(Record(report))
        self._update_health()
        if self._workers.is_main and (len(self._records) == 1 or self._since_write.seconds >= WRITE_SECONDS):
            with self._writing():
                write_history(self.path / "metrics.jsonl", self._records)
            self._since_write.restart()
        return True

    def save(self, training: Training) -> None:
        """Write everything. Raises TrainingError when that fails; the checkpoint before is still there then."""
        if not self._workers.is_main:
            return
        samples = training.samples(GRID * GRID, self._config.schedule.seed)
        real = self._real_tiles(samples)
        self._measure_diversity(samples, real)
        self._measure_coverage(training)
        state = training.state()
        run = {
            "steps": self._steps,
            "seconds": self.seconds,
            "processes": self._workers.count,
            "coverage_problem": self._coverage_problem,
        }
        state = replace(state, metadata={**state.metadata, "run": run, "trained_on": self._trained_on()})
        with self._writing():
            # history first: after a kill between both, a resume drops the records of images after the checkpoint
            write_history(self.path / "metrics.jsonl", self._records)
            save_checkpoint(self.checkpoint, self._config, state, self._data.split)
            self.saved_images = training.images
            self._save_pictures(training, samples, real)

    def _trained_on(self) -> dict[str, list[str]]:
        """Hashes of all images that these networks were trained on, also before they came into this folder."""
        sides = {**self._trained_before, **self._data.trained_on}
        before, now = self._trained_before, self._data.trained_on
        return {side: sorted({*before.get(side, ()), *now.get(side, ())}) for side in sides}

    def checkpoint_sentence(self) -> str:
        """For error messages: which checkpoint the user still has."""
        if self.saved_images is None:
            return "there was no checkpoint yet"
        return f"the checkpoint of {counted(self.saved_images, 'image')} is kept in {self.checkpoint}"

    def finish(self, training: Training) -> None:
        """Draw tiles beside what the finished checkpoint makes of them, and write the last report."""
        if self._workers.is_main:
            draw_tiles(self.path / "tiles.png", load_checkpoint(self.checkpoint), self._data.source)
            if self._config.method.is_gan and not self._config.schedule.encoder_images:
                log.info("without an encoder only a search finds z, so `evaluate` measures what G explains")
            self._write_report(training)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise TrainingError(
                f"{self.path}: cannot be written ({error.strerror or error}); {self.checkpoint_sentence()}; "
                "make room and continue with --resume"
            ) from None

    def close(self) -> None:
        """Close the event file of TensorBoard."""
        if self._tensorboard is not None:
            self._tensorboard.close()

    def _save_pictures(self, training: Training, samples: Float, real: Float) -> None:
        save_curves(self.path / "curves.png", self._records)
        title = "their reconstructions, G(E(x))" if samples_are_reconstructions(self._config) else "samples, G(z)"
        shown = f"after {training.images:,} of {training.total_images:,} images"
        save_samples(self.path / "samples.png", real, samples, title, shown)
        if self._tensorboard is None:
            self._tensorboard = TensorBoardWriter(self.path / "tensorboard", self._resumed_at)
        self._tensorboard.write(self._records, {"tiles": real, "samples": samples})
        self._write_report(training)

    def _write_report(self, training: Training) -> None:
        device, processes = str(self._workers.device), self._workers.count
        facts = RunFacts(training.images, training.total_images, self.seconds, device, processes)
        write_run_report(self.path, self._config, self._data.split, facts, self._records, self._data.shortage)

    def _real_tiles(self, samples: Float) -> Float:
        """As many normal tiles, as large; of an autoencoder those that the samples are reconstructions of."""
        tiles = self._data.normal.draw(len(samples), np.random.default_rng(self._config.schedule.seed))
        real: Float = F.adaptive_avg_pool2d(tiles, samples.shape[-1]).numpy()
        return real

    def _measure_diversity(self, samples: Float, real: Float) -> None:
        if not self._config.method.is_gan or not self._records:
            return
        self._diversity = measure_diversity(samples, real)
        self._records[-1] = replace(self._records[-1], diversity=self._diversity)
        self._update_health()

    def _measure_coverage(self, training: Training) -> None:
        """Put coverage into the last record, and into the log, where the training has an encoder by now."""
        reconstructor = training.reconstructor()
        if reconstructor is None or not self._records:
            return
        if self._meter is None:
            self._meter = CoverageMeter(self._data.source, self._data.split, self._config)
            self._coverage_problem = self._meter.problem
        if self._coverage_problem is None:
            measured = self._meter.measure(reconstructor(to_model_range(self._meter.tiles)))
            if measured is not None:
                log.info("after %d images: %s", training.images, measured.sentence)
                self._coverage = FitCoverage(**measured.model_dump(), progress=reconstructor.progress)
                self._records[-1] = replace(self._records[-1], coverage=self._coverage)
        self._update_health()

    def _update_health(self) -> None:
        """Put the current warnings into the last record; log those that the two last records did not have."""
        of_coverage = self._coverage_problem or coverage_warning(self._coverage, self._config.method)
        warnings = health_warnings([r.report for r in self._records], self._diversity)
        warnings = (*warnings, of_coverage) if of_coverage else warnings
        logged = {sentence.split(":")[0] for r in self._records[-2:] for sentence in r.health}
        for sentence in warnings:
            if sentence.split(":")[0] not in logged and self._workers.is_main:
                log.warning("after %d images: %s", self._records[-1].report.images, sentence)
        self._records[-1] = replace(self._records[-1], health=warnings)
