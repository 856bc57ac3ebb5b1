"""One candidate: trained for a share of the time, and evaluated like all others."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

from pydantic import Field, ValidationError

from latentline.base.atomic import write_text
from latentline.base.strict_yaml import StrictModel
from trainer.checkpoint import dump_config, read_config
from trainer.choose.budget import total_images, within_budget
from trainer.choose.candidates import SCALING, Candidate
from trainer.evaluation.evaluate_checkpoint import evaluate_checkpoint
from trainer.evaluation.report import EvaluationReport, read_results
from trainer.run.fit import fit
from trainer.settings.trunk import LITE0, NONE, TrunkConfig
from trainer.trunk.module import check_trunk_weights

REHEARSAL = 2000  # images, of all phases: a few seconds, and they say how fast a training is here
FALSE_ALARM_RATE = 0.2  # the threshold is not used; a strict one would need more images
TRIAL = "trial.json"


class Trial(StrictModel):
    """A candidate and how well it did.

    share        of its whole training that it was given
    minutes      that this took
    evaluation   minutes that the evaluation took
    least        minutes of the shortest trial that such a candidate could have: a rehearsal, and the evaluation
    tiles        of an image
    trunk        the pretrained network beside it; none: there is none
    report       of the images that methods are compared on
    """

    method: str
    height: int
    share: float = Field(gt=0, le=1)
    minutes: float
    evaluation: float
    least: float
    tiles: int
    trunk: str = NONE
    report: EvaluationReport

    @property
    def name(self) -> str:
        """Names it in tables and folders."""
        return f"{self.method}-{self.height}px" + ("" if self.trunk == NONE else "-trunk")

    @property
    def sentence(self) -> str:
        """How well it did, in a line."""
        figures = {"image AUROC": self.report.image_auroc, "pixel AUROC": self.report.pixel_auroc}
        found = [f"{name} {figure}" for name, figure in figures.items() if figure is not None]
        return f"{self.name}: " + ", ".join([*found, f"{1e3 * self.report.seconds_per_image:.3g} ms an image"])

    @property
    def merit(self) -> float:
        """By which trials are compared: image AUROC and, where there are masks, pixel AUROC."""
        found = [figure.value for figure in (self.report.image_auroc, self.report.pixel_auroc) if figure is not None]
        return sum(found)


def run_trial(candidate: Candidate, out: Path, seconds: float, tiles: int, device: str) -> Trial:
    """Train for about `seconds`, and on REHEARSAL images at least; evaluate. All in `out`; what is finished is read.

    The seconds are those of the rehearsal and the training together.

    Raises ConfigError, DatasetError, CheckpointError and TrainingError.
    """
    if (kept := finished_trial(out)) is not None:
        return kept
    shutil.rmtree(out, ignore_errors=True)
    begin = time.monotonic()
    images = whole = total_images(candidate.config)
    rehearsed, rehearsal = candidate.method != SCALING, 0.0
    if rehearsed:
        fit(within_budget(candidate.config, REHEARSAL), out, device=device)
        rehearsal = time.monotonic() - begin
        left = seconds - 2 * rehearsal + _seconds(out)  # what comes before and after the steps of a training, twice
        images = max(REHEARSAL, min(whole, round(left * REHEARSAL / max(_seconds(out), 1e-3))))
    if not rehearsed or images != REHEARSAL:  # else the rehearsal is all that there is time for
        shutil.rmtree(out, ignore_errors=True)
        fit(within_budget(candidate.config, images), out, device=device)
    trained = time.monotonic()
    evaluate_checkpoint(out, false_alarm_rate=FALSE_ALARM_RATE)
    evaluation = time.monotonic() - trained
    trial = Trial(
        method=candidate.method,
        height=candidate.height,
        share=min(1.0, images / whole),
        minutes=_seconds(out) / 60,
        evaluation=evaluation / 60,
        least=((rehearsal if rehearsed else trained - begin) + evaluation) / 60,
        tiles=tiles,
        report=read_results(out)[0],
    )
    write_text(out / TRIAL, trial.model_dump_json(indent=1))
    return trial


def run_trunk_trial(trial: Trial, run: Path, out: Path) -> Trial:
    """The trained model of `trial` in `run`, evaluated in `out` with EfficientNet-Lite0 beside it.

    What is finished in `out` is read. Raises BackendError where the weights of that network are not here.
    """
    check_trunk_weights(TrunkConfig(network=LITE0))
    if (kept := finished_trial(out)) is not None:
        return kept
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(run / "checkpoint", out / "checkpoint")
    config = read_config(out / "checkpoint").model_copy(update={"trunk": TrunkConfig(network=LITE0)})
    write_text(out / "checkpoint" / "config.yaml", dump_config(config))
    evaluate_checkpoint(out, false_alarm_rate=FALSE_ALARM_RATE)
    with_trunk = trial.model_copy(update={"trunk": LITE0, "report": read_results(out)[0]})
    write_text(out / TRIAL, with_trunk.model_dump_json(indent=1))
    return with_trunk


def finished_trial(out: Path) -> Trial | None:
    """The finished trial in `out`; None where there is none, or another version wrote it."""
    try:
        return Trial.model_validate_json((out / TRIAL).read_bytes())
    except (OSError, ValidationError):
        return None


def _seconds(run: Path) -> float:
    state = json.loads((run / "checkpoint" / "state.json").read_text(encoding="utf-8"))
    return float(state["run"]["seconds"])
