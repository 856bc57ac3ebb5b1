"""The folder of one run: its log, checkpoints, pictures and report, written by the leading process.

config.yaml · checkpoint/ · log.txt · metrics.jsonl (a line every LOG_EVERY steps) · tensorboard/ · curves.png ·
samples.png · reconstructions.png (at the end) · report.md
"""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch.nn.functional as F

from latentline.base.atomic import write_text
from latentline.errors import CheckpointError, TrainingError
from trainer.checkpoint import dump_config, load_checkpoint, read_training_state, save_checkpoint
from trainer.config import TrainConfig
from trainer.data.split import Split
from trainer.loops.training import StepReport, Training
from trainer.loops.workers import Workers
from trainer.run.health import faults, measure_diversity
from trainer.run.history import Record, read_history, write_history
from trainer.run.pictures import GRID, save_curves, save_samples
from trainer.run.reconstructions import draw_reconstructions
from trainer.run.report import RunFacts, write_run_report
from trainer.run.tensorboard import Board
from trainer.run.training_data import FitData

LOG_EVERY = 20
log = logging.getLogger(__name__)


class RunFolder:
    """What a run has written so far, and how to write more.

    kept     images of the checkpoint on the disk, None before the first
    seconds  of training, over all sessions
    """

    def __init__(self, path: Path, config: TrainConfig, data: FitData, workers: Workers) -> None:
        self.path, self.checkpoint = path, path / "checkpoint"
        self.kept: int | None = None
        self.seconds = 0.0
        self.checkpoint_images = config.schedule.checkpoint_images
        self._config, self._data, self._workers = config, data, workers
        self._records: list[Record] = []
        self._steps = self._begun_at = 0
        self._diversity: float | None = None
        self._board: Board | None = None

    def restore(self, training: Training) -> None:
        """Take up the checkpoint. Raises CheckpointError when it is broken or its images are other ones now."""
        state = read_training_state(self.checkpoint)
        try:
            split, run = Split.from_json(state.rest["split"]), state.rest["run"]
            self._steps, self.seconds, processes = int(run["steps"]), float(run["seconds"]), int(run["processes"])
        except (KeyError, TypeError, ValueError):
            raise CheckpointError(f"{self.checkpoint}: of another version; start in a new folder") from None
        if split != self._data.split:
            raise CheckpointError(
                f"{self._config.data.root}: its images are no longer those that {self.checkpoint} was trained on; "
                "put them back, or start in a new folder"
            )
        training.restore(state)
        self.kept = self._begun_at = training.images
        self._records = read_history(self.path / "metrics.jsonl", self.kept)
        self._diversity = next((r.diversity for r in reversed(self._records) if r.diversity is not None), None)
        log.info("going on after %d images", self.kept)
        if processes != self._workers.count:
            log.info(
                "each batch is now shared by %d processes instead of %d; it is the same batch, its sums are rounded "
                "otherwise", self._workers.count, processes,
            )  # fmt: skip

    def note(self, report: StepReport, last: bool) -> bool:
        """Count a step; keep its report every LOG_EVERY steps and the last. Gives whether it was kept."""
        self._steps += 1
        if self._steps % LOG_EVERY and not last:
            return False
        self._records.append(Record(report))
        self._judge()
        return True

    def save(self, training: Training) -> None:
        """Write everything. Raises TrainingError when the disk is full; the checkpoint before stays then."""
        if not self._workers.leads:
            return
        state = training.state()
        run = {"steps": self._steps, "seconds": self.seconds, "processes": self._workers.count}
        samples = training.samples(GRID * GRID, self._config.schedule.seed)
        self._measure(samples)
        try:
            write_text(self.path / "config.yaml", dump_config(self._config))
            # before the checkpoint: what is said of later images is dropped when a killed run goes on
            write_history(self.path / "metrics.jsonl", self._records)
            save_checkpoint(
                self.checkpoint, self._config, replace(state, rest={**state.rest, "run": run}), self._data.split
            )
            self.kept = training.images
            self._draw(training, samples)
        except OSError as error:
            raise TrainingError(
                f"{self.path}: cannot be written ({error.strerror or error}); {self.kept_sentence()}; "
                "make room and go on with --resume"
            ) from None

    def kept_sentence(self) -> str:
        """What a user still has."""
        if self.kept is None:
            return "there was no checkpoint yet"
        return f"the checkpoint of {self.kept} images is kept in {self.checkpoint}"

    def finish(self, training: Training) -> None:
        """Pictures of test images by the finished checkpoint, and the last report."""
        if self._workers.leads:
            draw_reconstructions(self.path / "reconstructions.png", load_checkpoint(self.checkpoint), self._data.source)
            self._report(training)
        self.close()

    def close(self) -> None:
        """Close the event file."""
        if self._board is not None:
            self._board.close()

    def _draw(self, training: Training, samples: npt.NDArray[np.float32]) -> None:
        reports = [r.report for r in self._records]
        save_curves(self.path / "curves.png", reports)
        save_samples(self.path / "samples.png", samples)
        if self._board is None:
            self._board = Board(self.path / "tensorboard", self._begun_at)
        self._board.write(self._records, samples)
        self._report(training)

    def _report(self, training: Training) -> None:
        where, processes = str(self._workers.device), self._workers.count
        facts = RunFacts(training.images, training.total_images, self.seconds, where, processes)
        write_run_report(self.path, self._config, self._data.split, facts, self._records)

    def _measure(self, samples: npt.NDArray[np.float32]) -> None:
        if not self._config.method.is_gan or not self._records:
            return
        tiles = self._data.normal.draw(len(samples), np.random.default_rng(self._config.schedule.seed))
        real = F.adaptive_avg_pool2d(tiles, samples.shape[-1]).numpy()
        self._diversity = measure_diversity(samples, real)
        self._records[-1] = replace(self._records[-1], diversity=self._diversity)
        self._judge()

    def _judge(self) -> None:
        found = faults([r.report for r in self._records], self._diversity)
        said = {sentence.split(":")[0] for r in self._records[-2:] for sentence in r.health}
        for sentence in found:
            if sentence.split(":")[0] not in said and self._workers.leads:
                log.warning("after %d images: %s", self._records[-1].report.images, sentence)
        self._records[-1] = replace(self._records[-1], health=found)
