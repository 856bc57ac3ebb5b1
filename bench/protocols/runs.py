"""A run a folder: trained and evaluated unless it is already. Whatever was cut off goes on where it stopped."""

from __future__ import annotations

import json
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from latentline.errors import LatentlineError
from protocols.station import evaluate_on_station
from trainer.config import TrainConfig
from trainer.evaluation.report import EvaluationReport, Scores, read_results
from trainer.run.config_differences import check_same_config
from trainer.run.fit import fit


@dataclass(frozen=True)
class Job:
    """One training and its evaluation.

    folder  of the run: what `latentline-train fit` writes, package/ and evaluation/
    limit   at most so many test images of each kind, seeded; None: all
    """

    folder: Path
    config: TrainConfig
    limit: int | None = None

    @property
    def evaluation(self) -> Path:
        """Folder of the results; another one for another limit."""
        return self.folder / ("evaluation" if self.limit is None else f"evaluation-{self.limit}")

    @property
    def finished(self) -> bool:
        """Whether the results are there: report.json is the last that is written but scores.json."""
        return (self.evaluation / "scores.json").is_file()

    def results(self) -> tuple[EvaluationReport, Scores]:
        """Of a finished job. Raises DatasetError when it is not."""
        return read_results(self.evaluation)

    def training_seconds(self) -> float:
        """What the training took, all its parts together."""
        return float(self._state()["run"]["seconds"])

    def images_shown(self) -> int:
        """To all networks, in all phases."""
        return int(self._state()["images"])

    def _state(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.folder / "checkpoint" / "state.json").read_text(encoding="utf-8"))
        return content


def finish(job: Job) -> None:
    """Train and evaluate; nothing where both were done. Raises ConfigError: the folder holds another training."""
    if job.finished:
        check_same_config(job.folder, job.config, data_moved=True)
        return
    fit(job.config, job.folder, resume=True, device="cpu")
    evaluate_on_station(job.folder, job.evaluation, job.limit)


def finish_all(jobs: list[Job], workers: int) -> None:
    """Finish all, `workers` at a time in processes of one thread each; what they print is in bench.log of each folder.

    Raises LatentlineError when some failed, after the others are done.
    """
    failed: list[str] = []
    # one thread a process, set before torch and OpenVINO are loaded there
    os.environ.update({"OMP_NUM_THREADS": "1", "TQDM_MININTERVAL": "30"})
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        running = {pool.submit(_finish_alone, job): job for job in jobs}
        for future in tqdm(as_completed(running), total=len(jobs), unit="run"):
            try:
                future.result()
            except LatentlineError as error:
                failed.append(f"{running[future].folder}: {error}")
    if failed:
        raise LatentlineError(f"{len(failed)} of {len(jobs)} runs failed; the first: {failed[0]}")


def _finish_alone(job: Job) -> None:
    import torch

    torch.set_num_threads(1)
    job.folder.mkdir(parents=True, exist_ok=True)
    with (job.folder / "bench.log").open("a", encoding="utf-8") as log, redirect_stderr(log):
        finish(job)
