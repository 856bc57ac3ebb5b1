"""`latentline-train choose`: compare the methods that make sense for these images, and recommend a training file.

The scale is chosen first, with principal components, which take seconds. Then the other methods train at that scale,
each for an equal share of the time that is left. All are evaluated on the same images, none of which is one of the
user's test images.
"""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from latentline.base.atomic import new_folder, write_text
from latentline.base.places import check_folder
from latentline.base.strict_yaml import StrictModel
from latentline.errors import BackendError, CheckpointError, ConfigError, DatasetError, DivergenceError, StoppedError
from latentline.vision.images import list_images, read_image
from latentline.vision.tiles import TilePlan
from trainer.choose.candidates import METHODS, SCALING, candidate, heights
from trainer.choose.choice import Choice, chosen_trial, recommended_yaml, report_text
from trainer.choose.image_set import GROUPS, KNOWN, Counts, write_image_set
from trainer.choose.own_log import own_log_only
from trainer.choose.trial import Trial, run_trial, run_trunk_trial
from trainer.config import TrainConfig
from trainer.data.found_depth import with_bit_depth
from trainer.data.settings import FolderData
from trainer.data.sources import open_source
from trainer.evaluation.compare import compare, difference
from trainer.evaluation.report import read_results

IMAGES, ABOUT = "images", "about.json"  # about.json lies in the folder of the images, so both are there or neither
RECOMMENDED, REPORT, RESULT = "recommended.yaml", "choice.md", "choice.json"
log = logging.getLogger(__name__)


class About(StrictModel):
    """What the images of a choice were made from, the section `data` that reads them, their counts, and the median
    size (height, width) of an image."""

    made_from: str
    data: FolderData
    counts: Counts
    shape: tuple[int, int]

    @property
    def tested(self) -> int:
        """Images that every trial inspects."""
        return self.counts.normal + self.counts.known_tested + self.counts.made


def without_method(content: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a training file without what is to be chosen: method, network, search and all of the schedule but
    its seed."""
    kept = {key: value for key, value in content.items() if key not in ("method", "network", "search", "schedule")}
    schedule = content.get("schedule")
    seed = {"seed": schedule["seed"]} if isinstance(schedule, Mapping) and "seed" in schedule else {}
    return {**kept, "schedule": seed, "method": {"kind": SCALING}}


def choose(config: TrainConfig, out: Path, minutes: float, device: str = "auto") -> Choice:
    """Compare methods on the images of `config` in about `minutes`, in the folder `out`, and write the recommendation.

    Only the sections data, augment and preprocessing of `config` count, and its seed. A choice that was interrupted
    goes on after its last finished trial. A method that cannot be used on these images, or whose training diverges, is
    left out. Raises ConfigError
    when `out` holds something else, DatasetError when the images are too few or no method can be used, and
    TrainingError.
    """
    end = time.monotonic() + 60 * minutes
    about = _images(config, out)
    tried = _scales(config, about)

    trials: list[Trial] = []
    failed: dict[str, str] = {}

    def run(method: str, height: int, seconds: float, title: str = "") -> None:
        own = candidate(method, height, config, about.data)
        log.info("%s%s", own.name, title)
        try:
            with own_log_only():
                trial = run_trial(own, out / own.name, seconds, _tiles(about.shape, height, own.config), device)
        except (StoppedError, KeyboardInterrupt) as error:  # in a training, in an evaluation
            number = error.number if isinstance(error, StoppedError) else signal.SIGINT
            left = f"what is finished ({len(trials)}) is kept in {out}, and the same command goes on from there"
            raise StoppedError(number, left) from None
        except (CheckpointError, DatasetError, DivergenceError) as error:
            log.warning("%s is left out: %s", own.name, error)
            failed[own.name] = str(error)
        else:
            log.info("%s", trial.sentence)
            trials.append(trial)

    for height in tried:
        run(SCALING, height, 0)
    height = chosen_trial(trials).height if trials else tried[0]
    inspecting = sum(trial.report.seconds_per_image for trial in trials if trial.height == height) * about.tested
    methods = [method for method in METHODS if method != SCALING]
    for place, method in enumerate(methods):
        seconds = max(0.0, (end - time.monotonic()) / (len(methods) - place) - inspecting)
        share = f"about {seconds / 60:.1f} minutes of training" if seconds else "a short training, for no time is left"
        run(method, height, seconds, f", {share}")
    if not trials:
        raise DatasetError(f"{out}: no method can be trained on these images; {failed.popitem()[1]}")
    trials += _with_trunk(chosen_trial(trials), out)
    choice = _ranked(trials, failed, out, about.counts)
    _write(choice, config, out)
    return choice


def _scales(config: TrainConfig, about: About) -> list[int]:
    """The heights to try: the one that the user has set, else a few that suit the images."""
    if config.preprocessing.height is not None:
        return [config.preprocessing.height]
    settings = candidate(SCALING, about.shape[0], config, about.data).config
    return heights(about.shape, settings.network.resolution, settings.search.overlap)


def _with_trunk(best: Trial, out: Path) -> list[Trial]:
    """The best model once more with a pretrained trunk beside it; nothing where its weights are not here."""
    log.info("%s with a pretrained trunk", best.name)
    try:
        with own_log_only():
            trial = run_trunk_trial(best, out / best.name, out / f"{best.name}-trunk")
    except BackendError as error:
        log.info("no trunk is compared: %s", error)
        return []
    log.info("%s", trial.sentence)
    return [trial]


def _images(config: TrainConfig, out: Path) -> About:
    """The images to compare on: written, or those that are there."""
    check_folder(out)
    root = out / IMAGES
    made_from = config.model_dump_json(include={"data", "augment", "preprocessing", "schedule"})
    if (root / ABOUT).is_file():
        about = _read_about(root / ABOUT)
        if about is None or about.made_from != made_from:
            raise ConfigError(
                f"{out}: this folder holds the choice of another configuration or version; give another folder"
            )
        return about
    if out.exists() and any(out.iterdir()):
        raise ConfigError(f"{out}: this folder is not empty and holds no choice; give another folder")
    with new_folder(root) as folder:
        source = open_source(config.data, config.preprocessing)
        _, source = with_bit_depth(config.preprocessing, source, source.split(config.schedule.seed))
        counts = write_image_set(source, config, folder)
        data = FolderData(
            root=root.resolve(),
            groups=GROUPS,
            known_abnormal=(root / KNOWN).resolve() if counts.known_trained else None,
        )
        about = About(made_from=made_from, data=data, counts=counts, shape=_shape(folder / "train" / "good"))
        write_text(folder / ABOUT, about.model_dump_json(indent=1))
    return about


def _read_about(path: Path) -> About | None:
    try:
        return About.model_validate_json(path.read_bytes())
    except ValidationError:
        return None


def _shape(folder: Path) -> tuple[int, int]:
    """Height and width of a middling image: the one with the median height."""
    shapes = sorted(read_image(path).shape[:2] for path in list_images(folder))
    height, width = shapes[len(shapes) // 2]
    return int(height), int(width)


def _tiles(shape: tuple[int, int], height: int, config: TrainConfig) -> int:
    width = max(1, round(shape[1] * height / shape[0]))
    return len(TilePlan.cover(height, width, config.network.resolution, config.search.overlap).corners)


def _ranked(trials: Sequence[Trial], failed: Mapping[str, str], out: Path, counts: Counts) -> Choice:
    best = chosen_trial(trials)
    others = sorted((trial for trial in trials if trial is not best), key=lambda trial: -trial.merit)
    scores = {trial.name: read_results(out / trial.name)[1] for trial in trials}
    return Choice(
        trials=(best, *others),
        differences={trial.name: difference(scores[best.name], scores[trial.name]) for trial in others},
        failed=dict(failed),
        counts=counts,
    )


def _write(choice: Choice, config: TrainConfig, out: Path) -> None:
    compared = [trial.name for trial in choice.trials if trial.height == choice.chosen.height]
    compare([out / name for name in compared], out / "comparison")
    pictures = {name: Path(name) / "evaluation" / "tiles.png" for name in compared}
    shown = {name: path for name, path in pictures.items() if (out / path).is_file()}
    write_text(out / RECOMMENDED, recommended_yaml(choice, config))
    write_text(out / RESULT, choice.to_json())
    write_text(out / REPORT, report_text(choice, shown))
