"""One training and its evaluation in a folder. What is finished is kept; what was interrupted is resumed."""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnContext, SpawnProcess
from pathlib import Path
from typing import Any, Protocol, TypeVar

from tqdm import tqdm

from bench.detection.protocol.station_evaluation import evaluate_on_station, evaluate_with_weights
from bench.detection.protocol.taken_networks import take_networks
from bench.termination import exit_on_sigterm
from latentline.errors import LatentlineError
from trainer.config import TrainConfig
from trainer.evaluation.report import EvaluationReport, Scores, read_results
from trainer.run.config_differences import check_same_config
from trainer.run.fit import fit
from trainer.run.opening import with_resumed_scale


class FolderJob(Protocol):
    """Work whose results are kept in a folder. It is pickled on its way to its process."""

    @property
    def folder(self) -> Path:
        """Where its results and its log are."""
        ...

    @property
    def finished(self) -> bool:
        """Whether the results are complete."""
        ...

    def finish(self) -> None:
        """Do what is not done. Raises ConfigError when the folder holds other work."""
        ...


AnyJob = TypeVar("AnyJob", bound=FolderJob)


@dataclass(frozen=True)
class Job:
    """`FolderJob`: one training and its evaluation.

    folder   the run folder: what `latentline-train fit` writes, and also package/ and evaluation/
    limit    largest number of test images of each kind, drawn by seed; None: all
    trained  a run folder whose finished networks are evaluated under `config`; None: the job trains its own
    device   where it trains: auto, cpu, cuda or cuda:n; the evaluation runs on a station's CPU backend
    """

    folder: Path
    config: TrainConfig
    limit: int | None = None
    trained: Path | None = None
    device: str = "auto"

    @property
    def evaluation(self) -> Path:
        """Folder of the results, one for each limit."""
        return self.folder / ("evaluation" if self.limit is None else f"evaluation-{self.limit}")

    @property
    def finished(self) -> bool:
        """Whether the results are complete: scores.json is written last."""
        return (self.evaluation / "scores.json").is_file()

    def finish(self) -> None:
        """Train and evaluate, unless that is done. Raises ConfigError when the folder holds another training."""
        if self.finished:
            check_same_config(self.folder, with_resumed_scale(self.config, self.folder / "checkpoint"), data_moved=True)
            return
        if self.trained is None:
            fit(self.config, self.folder, resume=True, device=self.device)
        else:
            take_networks(self.trained, self.folder, self.config)
        evaluate_on_station(self.folder, self.evaluation, self.limit)

    def results(self) -> tuple[EvaluationReport, Scores]:
        """Report and scores of a finished job. Raises DatasetError when it is not finished."""
        return read_results(self.evaluation)

    def scores_with_weights_of(self, lender: Job) -> Scores:
        """Scores of the same images with the component weights of `lender`; both jobs are finished."""
        folder = self.folder / f"{self.evaluation.name}-lent-weights"
        if not (folder / "scores.json").is_file():
            evaluate_with_weights(self.folder, lender.folder, folder, self.limit)
        return read_results(folder)[1]

    def training_seconds(self) -> float:
        """Duration of the training, summed over its interruptions."""
        return float(self._state()["run"]["seconds"])

    def images_shown(self) -> int:
        """Images shown to the networks, summed over all phases."""
        return int(self._state()["images"])

    def _state(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.folder / "checkpoint" / "state.json").read_text(encoding="utf-8"))
        return content


def finished_jobs(jobs: Mapping[str, AnyJob], workers: int, *, report_only: bool) -> dict[str, AnyJob]:
    """Finish all jobs, or with `report_only` none; returns those that have results. Raises as `finish_all`."""
    if jobs and not report_only:
        finish_all(list(jobs.values()), workers)
    return {name: job for name, job in jobs.items() if job.finished}


def finish_all(jobs: Sequence[FolderJob], workers: int) -> None:
    """Finish all jobs, `workers` at a time, each in a process with one thread that prints into bench.log of its folder.

    Raises LatentlineError when some failed, after the others are done. SIGTERM and Ctrl-C end the processes too; their
    trainings keep a checkpoint and are resumed the next time.
    """
    # read when torch and OpenVINO are loaded, so it has to be set before the processes start
    os.environ.update({"OMP_NUM_THREADS": "1", "TQDM_MININTERVAL": "30"})
    context = multiprocessing.get_context("spawn")
    waiting, failed = list(jobs), []
    running: dict[int, _Worker] = {}  # by sentinel
    with exit_on_sigterm(), tqdm(total=len(jobs), unit="run") as bar:
        try:
            while waiting or running:
                while waiting and len(running) < max(1, workers):
                    worker = _Worker(waiting.pop(0), context)
                    running[worker.process.sentinel] = worker
                for sentinel in wait(list(running)):
                    assert isinstance(sentinel, int)
                    worker = running.pop(sentinel)
                    if (failure := worker.failure()) is not None:
                        failed.append(f"{worker.job.folder}: {failure}")
                    bar.update()
        finally:
            for worker in running.values():
                worker.process.terminate()
            for worker in running.values():
                worker.process.join()
    if failed:
        raise LatentlineError(f"{len(failed)} of {len(jobs)} runs failed; the first: {failed[0]}")


class _Worker:
    """The process that finishes one job."""

    def __init__(self, job: FolderJob, context: SpawnContext) -> None:
        self.job = job
        self._receiver, sender = context.Pipe(duplex=False)
        self.process: SpawnProcess = context.Process(target=_finish_alone, args=(job, sender))
        self.process.start()
        sender.close()

    def failure(self) -> str | None:
        """Why the job failed, None when it did not. The process has ended."""
        self.process.join()
        try:
            sentence: str | None = self._receiver.recv()
        except EOFError:
            sentence = f"its process ended with exit code {self.process.exitcode}"
        self._receiver.close()
        return sentence


def _finish_alone(job: FolderJob, sender: Connection) -> None:
    import torch

    torch.set_num_threads(1)
    job.folder.mkdir(parents=True, exist_ok=True)
    with (job.folder / "bench.log").open("a", encoding="utf-8") as log, redirect_stderr(log):
        try:
            job.finish()
            sender.send(None)
        except LatentlineError as error:
            sender.send(str(error))
