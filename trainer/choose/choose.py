"""`latentline-train choose`: compare the methods that make sense for these images, and recommend a training file.

The scale is chosen first, with principal components, which take seconds. Then the other methods train at that scale,
each for an equal share of the time that is left, as long as there is time to evaluate them. All are evaluated on the
same images, none of which is one of the user's test images.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from latentline.base.atomic import new_folder, write_text
from latentline.base.places import check_folder
from latentline.base.strict_yaml import StrictModel
from latentline.errors import BackendError, ConfigError, DatasetError
from latentline.vision.images import list_images, read_image
from latentline.vision.tiles import TilePlan
from trainer.choose.candidates import METHODS, SCALING, candidate, heights
from trainer.choose.choice import Choice, chosen_trial, recommended_yaml, report_text
from trainer.choose.course import Course
from trainer.choose.image_set import GROUPS, KNOWN, Counts, write_image_set
from trainer.choose.own_log import own_log_only
from trainer.choose.trial import Trial, run_trunk_trial
from trainer.config import TrainConfig
from trainer.data.found_depth import with_bit_depth
from trainer.data.settings import FolderData
from trainer.data.sources import open_source
from trainer.evaluation.compare import compare, difference
from trainer.evaluation.report import read_results
from trainer.settings.trunk import LITE0, TrunkConfig
from trainer.trunk.module import check_trunk_weights

IMAGES, ABOUT = "images", "about.json"  # about.json lies in the folder of the images, so both are there or neither
RECOMMENDED, REPORT, RESULT = "recommended.yaml", "choice.md", "choice.json"
HALF = 0.5  # of the time left, for one more scale: the methods need the rest
CALIBRATED_TOO = 2.0  # times the images of the test, about: a calibration inspects as many again
TRUNK_COSTS = 2.0  # times the evaluation without a trunk, whose features have to be fitted as well
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
    left out, and so is one that could not be finished in time; the first trial is always finished. Raises ConfigError
    when `out` holds something else, DatasetError when the images are too few or no method can be used, and
    TrainingError.
    """
    begin = time.monotonic()
    about = _images(config, out)
    course = Course(out, 60 * minutes - (time.monotonic() - begin), device)
    height = _compare_scales(course, config, about)
    _compare_methods(course, height, config, about)
    if not course.trials:
        raise DatasetError(f"{out}: no method can be trained on these images; {course.failed.popitem()[1]}")
    _add_trunk(course, chosen_trial(course.trials), out)
    choice = _ranked(course, out, about.counts)
    _write(choice, config, out)
    return choice


def _compare_scales(course: Course, config: TrainConfig, about: About) -> int:
    """The best height: principal components try each scale, from the smallest on, while half of the time is enough."""
    tried = sorted(_scales(config, about))
    for height in tried:
        own = candidate(SCALING, height, config, about.data)
        tiles = _tiles(about.shape, height, own.config)
        needed = _at_more_tiles(course.trials[-1], tiles, about.tested) if course.trials else 0.0
        if course.has_time_for(own.name, needed, HALF):
            course.run(own, tiles, 0)
    return chosen_trial(course.trials).height if course.trials else tried[-1]


def _at_more_tiles(trial: Trial, tiles: int, tested: int) -> float:
    """Seconds that a trial of principal components takes at a scale with so many tiles, by one at another scale."""
    more = trial.report.seconds_per_image * (tiles / trial.tiles - 1)
    return 60 * trial.least + CALIBRATED_TOO * tested * max(0.0, more)


def _compare_methods(course: Course, height: int, config: TrainConfig, about: About) -> None:
    """Try the other methods at one scale, each for an equal share of the time that is left."""
    methods = [method for method in METHODS if method != SCALING]
    for place, method in enumerate(methods):
        own = candidate(method, height, config, about.data)
        alike = [trial for trial in course.trials if trial.height == height]
        least = 60 * max((trial.least for trial in alike), default=0.0)
        evaluation = 60 * max((trial.evaluation for trial in alike), default=0.0)
        if not course.has_time_for(own.name, least):
            continue
        seconds = max(0.0, course.left / (len(methods) - place) - evaluation)
        share = f"about {seconds / 60:.1f} minutes of training" if seconds else "a short training, for no time is left"
        course.run(own, _tiles(about.shape, height, own.config), seconds, f", {share}")


def _scales(config: TrainConfig, about: About) -> list[int]:
    """The heights to try: the one that the user has set, else a few that suit the images."""
    if config.preprocessing.height is not None:
        return [config.preprocessing.height]
    settings = candidate(SCALING, about.shape[0], config, about.data).config
    return heights(about.shape, settings.network.resolution, settings.search.overlap)


def _add_trunk(course: Course, best: Trial, out: Path) -> None:
    """Evaluate the best model once more with a pretrained trunk beside it, unless its weights are not here."""
    name = f"{best.name}-trunk"
    try:
        check_trunk_weights(TrunkConfig(network=LITE0))
        if course.has_time_for(name, 60 * TRUNK_COSTS * best.evaluation):
            log.info("%s with a pretrained trunk", best.name)
            with own_log_only():
                trial = run_trunk_trial(best, out / best.name, out / name)
            log.info("%s", trial.sentence)
            course.trials.append(trial)
    except BackendError as error:
        log.info("no trunk is compared: %s", error)


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


def _ranked(course: Course, out: Path, counts: Counts) -> Choice:
    best = chosen_trial(course.trials)
    others = sorted((trial for trial in course.trials if trial is not best), key=lambda trial: -trial.merit)
    scores = {trial.name: read_results(out / trial.name)[1] for trial in course.trials}
    return Choice(
        trials=(best, *others),
        differences={trial.name: difference(scores[best.name], scores[trial.name]) for trial in others},
        failed=course.failed,
        unbegun=tuple(course.unbegun),
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
