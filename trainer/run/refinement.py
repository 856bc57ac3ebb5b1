"""`fit --from RUN --add LABELS`: the discriminator of a trained model goes on learning, with labelled images."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from latentline.base.atomic import write_text
from latentline.base.counted import counted
from latentline.base.strict_yaml import parse
from latentline.errors import CheckpointError, ConfigError, DatasetError
from trainer.checkpoint import read_config, read_training_state, save_checkpoint
from trainer.config import TrainConfig
from trainer.data.added import read_added
from trainer.data.settings import FolderData
from trainer.data.split import Split
from trainer.loops.discriminator_finetuning import FINETUNING
from trainer.loops.growth import total_images
from trainer.loops.training import TrainingState
from trainer.methods import NoisyAnoGan
from trainer.networks.factory import build_gan
from trainer.run.training_data import open_training_source

IMAGES = 40_000  # normal tiles, and as many abnormal ones: minutes
MADE = 0.5  # of the abnormal tiles, beside labelled defects, where the old training was shown made ones alone
log = logging.getLogger(__name__)


def start_refinement(
    old: Path, labels: Sequence[Path], run: Path, images: int = IMAGES, data: Path | None = None
) -> TrainConfig:
    """Make of the run folder `old` a new one, `run`, whose last phase is still to come; `fit` with `resume` trains it.

    Generator and encoder stay as they are. The discriminator is fine-tuned again, from its present weights, on the
    images of the old training and on labelled ones. No image that the old model has trained on calibrates the new one.

    labels  folders that `latentline-edge labels export` wrote
    images  of that fine-tuning
    data    data root, if it has moved
    Raises ConfigError when the method has nothing to fine-tune or `run` holds something, CheckpointError when the old
    training is not finished, and DatasetError when images are not there any more.
    """
    checkpoint = old / "checkpoint" if (old / "checkpoint").is_dir() else old
    if (run / "checkpoint").exists():
        raise ConfigError(f"{run}: this folder holds a training; give another, or continue it with --resume")
    if images < 1:
        raise ConfigError("--images: the discriminator needs at least one image to learn from")
    before = read_config(checkpoint)
    config = _with_labels(before, labels, images, data, old)
    state = read_training_state(checkpoint)
    if not _is_finished(before, state):
        raise CheckpointError(f"{old}: its training is not finished; continue with fit --resume")
    _, split = open_training_source(config)
    _check_sides(Split.from_json(state.metadata["split"]), split, old)
    run.mkdir(parents=True, exist_ok=True)
    write_text(run / "metrics.jsonl", "")
    save_checkpoint(run / "checkpoint", config, _without_finetuning(state), split)
    folders, shown = counted(len(labels), "labelled folder"), counted(images, "image")
    log.info("%s: from %s, with %s; the discriminator learns from %s", run, old, folders, shown)
    return config


def _with_labels(before: TrainConfig, labels: Sequence[Path], images: int, data: Path | None, old: Path) -> TrainConfig:
    if not isinstance(before.method, NoisyAnoGan):
        raise ConfigError(
            f"{old}: method {before.method.kind} cannot learn from labels; only noisy_anogan has a discriminator that "
            "known defects teach"
        )
    if not isinstance(before.data, FolderData):
        raise ConfigError(f"{old}: only a training on a folder of images can go on with labels, not {before.data.kind}")
    added = (*before.data.added, *(folder.resolve() for folder in labels))
    update: dict[str, object] = {"added": added} if data is None else {"added": added, "root": data.resolve()}
    if before.search.gamma < 1:
        log.info("search.gamma is 1 from now on: D of a fine-tuned discriminator cannot steer a search")
    changed = before.model_copy(
        update={
            "method": _with_real_defects(before.method, added),
            "data": before.data.model_copy(update=update),
            "schedule": before.schedule.model_copy(update={"discriminator_images": images}),
            "search": before.search.model_copy(update={"gamma": 1.0}),
        }
    )
    return parse(changed.model_dump(mode="json"), TrainConfig, str(old))


def _with_real_defects(method: NoisyAnoGan, added: Sequence[Path]) -> NoisyAnoGan:
    """The method, with room for labelled defects among the abnormal tiles."""
    if method.synthetic_fraction < 1 or not any(read_added(folder).defects for folder in added):
        return method
    log.info("method.synthetic_fraction is %g from now on: the labelled defects are shown to D, too", MADE)
    return method.model_copy(update={"synthetic_fraction": MADE})


def _is_finished(config: TrainConfig, state: TrainingState) -> bool:
    """Whether the game and all phases are over. A training without phases has no `gan_images` of its own."""
    metadata, schedule = state.metadata, config.schedule
    game = int(metadata.get("gan_images", metadata["images"]))
    if game < total_images(schedule, build_gan(config)[0].last_stage):
        return False
    if schedule.encoder_images and int(metadata.get("encoder", {}).get("images", 0)) < schedule.encoder_images:
        return False
    finetuned = int(metadata.get(FINETUNING, {}).get("images", 0))
    return finetuned >= schedule.discriminator_images


def _without_finetuning(state: TrainingState) -> TrainingState:
    """The state before the last phase; its discriminator is the one after it."""
    metadata = {name: value for name, value in state.metadata.items() if name not in (FINETUNING, "split")}
    finetuned = int(state.metadata.get(FINETUNING, {}).get("images", 0))
    shown = int(metadata["images"]) - finetuned
    game = int(metadata.get("gan_images", metadata["images"]))
    run = {"steps": 0, "seconds": 0.0, "processes": 1}
    optimizer = {name: value for name, value in state.optimizer.items() if FINETUNING not in name}
    metadata |= {"images": shown, "gan_images": game, "run": run}
    return replace(state, optimizer=optimizer, metadata=metadata)


def _check_sides(before: Split, now: Split, old: Path) -> None:
    """Raise DatasetError when an image that trained would calibrate, or images are not those of the old training."""
    trained = {*before.train, *before.known_abnormal}
    if wrong := trained.intersection((*now.held_out, *now.validation_abnormal)):
        raise DatasetError(
            f"{old}: '{min(wrong)}' has trained this model and would now calibrate it, because the images of its "
            "training have changed; put them back, or train anew"
        )
