"""What a training sees: samplers over prepared images, and the split they were made from."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from latentline.errors import DatasetError
from latentline.scoring.calibrate import split_held_out, too_few_normals
from latentline.scoring.calibration import FALSE_ALARM_RATE
from trainer.config import TrainConfig
from trainer.data.crops import CropSampler, prepare_mask
from trainer.data.known_abnormal import KnownAbnormal, MaskedTiles
from trainer.data.loading import load
from trainer.data.pasting import PastedSampler
from trainer.data.source import ImageSource
from trainer.data.sources import open_source
from trainer.data.split import Split
from trainer.data.synthetic import SyntheticSampler
from trainer.methods import NoisyAnoGan

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FitData:
    """Samplers of tiles; `abnormal` is None where the method is shown none."""

    normal: CropSampler
    abnormal: KnownAbnormal | None
    split: Split
    source: ImageSource


def open_data(config: TrainConfig) -> FitData:
    """Open, split, read and prepare the images of a training. Raises DatasetError; names what is skipped or short."""
    source = open_source(config.data)
    split = source.split(config.schedule.seed)
    if not isinstance(config.method, NoisyAnoGan):
        split = split.without_abnormal()
    standardising, scored = split_held_out(split.held_out, source.groups(), config.schedule.seed)
    if reason := too_few_normals(len(standardising), len(scored), FALSE_ALARM_RATE):
        log.warning(
            "%d normal images are held out (data.holdout), too few for evaluate and export: %s",
            len(split.held_out),
            reason,
        )
    loaded = load(source, split.train, config.preprocessing.apply)
    _say(loaded.bad)
    normal = CropSampler(list(loaded.images.values()), config.network.resolution, config.augment)
    return FitData(normal, _abnormal(config, source, split, normal), split, source)


def _abnormal(config: TrainConfig, source: ImageSource, split: Split, normal: CropSampler) -> KnownAbnormal | None:
    method = config.method
    if not isinstance(method, NoisyAnoGan):
        return None
    if not (split.known_abnormal or method.synthetic):
        if config.schedule.discriminator_images:
            raise DatasetError(
                f"{source.place}: no known-abnormal image is left to train on; "
                "schedule.discriminator_images needs some; "
                "name more, or set method.synthetic"
            )
        return None
    if not split.known_abnormal or method.synthetic == 1:
        return abnormal_tiles(method, None, normal)
    loaded = load(source, split.known_abnormal)
    _say(loaded.bad)
    images, masks = [], []
    for name, image in loaded.images.items():
        mask = source.mask(name, (image.shape[0], image.shape[1]))
        images.append(config.preprocessing.apply(image))
        masks.append(None if mask is None else prepare_mask(mask, images[-1]))
    return abnormal_tiles(method, CropSampler(images, config.network.resolution, config.augment, masks), normal)


def abnormal_tiles(method: NoisyAnoGan, real: CropSampler | None, normal: CropSampler) -> KnownAbnormal:
    """The shares that the method asks for, of known-abnormal images `real`; without any, all tiles are made."""
    made = 1.0 if real is None else method.synthetic
    sources: list[tuple[MaskedTiles, float]] = []
    if real is not None:
        moved = method.pasted * (1 - made)
        sources += [(real, 1 - made - moved), (PastedSampler(real, normal), moved)]
    return KnownAbnormal([*sources, (SyntheticSampler(normal), made)])


def _say(bad: tuple[str, ...]) -> None:
    for sentence in bad:
        log.warning("skipped: %s", sentence)
    if bad:
        log.warning("%d images were skipped", len(bad))
