"""Which candidate is recommended and why: the rule, the table, and the training file to go on with."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml
from pydantic import Field

from latentline.base.strict_yaml import StrictModel
from trainer.choose.candidates import recipe, scaled
from trainer.choose.image_set import Counts
from trainer.choose.trial import Trial
from trainer.config import TrainConfig
from trainer.evaluation.compare import Difference
from trainer.settings.trunk import NONE

EQUAL = 0.01  # of merit: below this a candidate that is twice as fast is preferred
TWICE = 2.0
SHORT = 0.25  # of its whole training: a trial that had less says little about what the method can do
HEAD = (
    "method",
    "height",
    "tiles",
    "image AUROC",
    "difference",
    "pixel AUROC",
    "ms an image",
    "trained",
)


class Choice(StrictModel):
    """All trials, the chosen one first, the others from the best to the worst.

    differences  image AUROC of each other trial minus that of the chosen one, on the same images
    failed       why a candidate could not be used, by its name
    unbegun      names of candidates for which no time was left
    """

    trials: tuple[Trial, ...] = Field(min_length=1)
    differences: dict[str, Difference]
    failed: dict[str, str]
    unbegun: tuple[str, ...]
    counts: Counts

    @property
    def chosen(self) -> Trial:
        """The recommended one."""
        return self.trials[0]

    @property
    def sentence(self) -> str:
        """The recommendation and its reason."""
        best = self.chosen
        image = best.report.image_auroc
        figure = "" if image is None else f": image AUROC {image}"
        others = [t for t in self.trials[1:] if _title(t) != _title(best)]
        rival = ""
        if others:
            rival = f"; the next method, {_title(others[0])}, has {self.differences[others[0].name]} to it"
        return f"take {_title(best)} at a height of {best.height} px{figure}{rival}"

    @property
    def warning(self) -> str | None:
        """Which methods had no time, or too little training to judge them by, and what to do. None: all had enough.

        Those with little may do better than their figures.
        """
        said = [f"no time was left for {' and '.join(self.unbegun)}: the same command goes on there"]
        return "; ".join([*(said if self.unbegun else []), *self._short_trainings()]) or None

    def _short_trainings(self) -> list[str]:
        short = [trial for trial in self.trials if trial.share < SHORT]
        if not short:
            return []
        names = " and ".join(f"{trial.method} had {trial.share:.0%} of its training" for trial in short)
        wanted = max(SHORT * trial.minutes / trial.share for trial in short) * len({t.method for t in self.trials})
        wanted += sum(trial.evaluation for trial in self.trials)
        return [f"{names}, too little to judge by: give more minutes, about {math.ceil(wanted)}, and another folder"]

    def to_json(self) -> str:
        """The choice as JSON."""
        return self.model_dump_json(indent=1)

    def to_markdown(self) -> str:
        """The trials as a table, and a sentence for each candidate that could not be used."""
        lines = ["| " + " | ".join(HEAD) + " |", "|---" * len(HEAD) + "|"]
        lines += ["| " + " | ".join(self._row(trial)) + " |" for trial in self.trials]
        return "\n".join([*lines, *self._left_out()])

    def _left_out(self) -> list[str]:
        failed = [f"\n{name} could not be used: {reason}." for name, reason in self.failed.items()]
        return [*failed, *(f"\n{name} was not tried: no time was left." for name in self.unbegun)]

    def _row(self, trial: Trial) -> list[str]:
        report = trial.report
        image, pixel = ("–" if figure is None else str(figure) for figure in (report.image_auroc, report.pixel_auroc))
        whole = "" if trial.share == 1 else f", {trial.share:.0%} of its training"
        return [
            _title(trial),
            f"{trial.height} px",
            str(trial.tiles),
            image,
            str(self.differences.get(trial.name, "–")),
            pixel,
            f"{1e3 * report.seconds_per_image:.3g}",
            f"{trial.minutes:.1f} min{whole}",
        ]


def _title(trial: Trial) -> str:
    return trial.method if trial.trunk == NONE else f"{trial.method} with trunk {trial.trunk}"


def chosen_trial(trials: Sequence[Trial]) -> Trial:
    """The best by image and pixel AUROC; of those within 0.01 of it, the fastest if that is twice as fast."""
    best = max(trials, key=lambda trial: trial.merit)
    near = [trial for trial in trials if trial.merit >= best.merit - EQUAL]
    fastest = min(near, key=lambda trial: trial.report.seconds_per_image)
    faster = fastest.report.seconds_per_image * TWICE <= best.report.seconds_per_image
    return fastest if faster else best


def recommended_yaml(choice: Choice, user: TrainConfig) -> str:
    """The training file: the user's data, augmentation and preprocessing, and the chosen method with all its images."""
    chosen = choice.chosen
    sections = recipe(chosen.method)
    if chosen.method == "noisy_anogan" and not user.data.has_known_abnormal:
        sections["method"]["synthetic_fraction"] = 1.0
    sections["schedule"]["seed"] = user.schedule.seed
    data = user.data.model_dump(mode="json", exclude_defaults=True)
    given = {
        "name": user.name,
        # `kind` chooses among the kinds of data and has to stay, also where it is the default
        "data": {"kind": user.data.kind, **data},
        "augment": user.augment.model_dump(mode="json"),
        "preprocessing": scaled(user.preprocessing, chosen.height).model_dump(mode="json"),
    }
    if chosen.trunk != NONE:
        sections["trunk"] = {"network": chosen.trunk}
    text = yaml.safe_dump({**given, **sections}, sort_keys=False, allow_unicode=True)
    return f"# latentline-train choose: {choice.sentence}.\n{text}"


def report_text(choice: Choice, pictures: Mapping[str, Path]) -> str:
    """choice.md: the recommendation, the table, what it rests on, and pictures (by title; relative to choice.md)."""
    head = choice.sentence[0].upper() + choice.sentence[1:]
    sections = [f"## {title}\n\n![{title}]({path.as_posix()})" for title, path in pictures.items()]
    warning = [] if choice.warning is None else [f"**Warning:** {choice.warning}."]
    parts = ["# Which method", f"{head}.", *warning, choice.to_markdown(), choice.counts.sentence, *sections]
    return "\n\n".join(parts) + "\n"
