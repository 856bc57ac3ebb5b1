"""What a training sees: samplers over prepared images, and the split they were made from."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from trainer.config import TrainConfig
from trainer.data.crops import CropSampler, prepare_mask
from trainer.data.loading import load
from trainer.data.source import ImageSource
from trainer.data.sources import open_source
from trainer.data.split import Split
from trainer.data.synthetic import SyntheticSampler
from trainer.known_abnormal import KnownAbnormal
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
    """Open, split, read and prepare the images of a training. Raises DatasetError; names what it skips."""
    source = open_source(config.data)
    split = source.split(config.schedule.seed)
    loaded = load(source, split.train, config.preprocessing.apply)
    _say(loaded.bad)
    normal = CropSampler(list(loaded.images.values()), config.network.resolution, config.augment)
    return FitData(normal, _abnormal(config, source, split, normal), split, source)


def _abnormal(config: TrainConfig, source: ImageSource, split: Split, normal: CropSampler) -> KnownAbnormal | None:
    method = config.method
    if not isinstance(method, NoisyAnoGan):
        return None
    made = SyntheticSampler(normal) if method.synthetic else None
    real = None
    if split.known_abnormal and method.synthetic < 1:
        loaded = load(source, split.known_abnormal)
        _say(loaded.bad)
        images, masks = [], []
        for name, image in loaded.images.items():
            mask = source.mask(name, (image.shape[0], image.shape[1]))
            images.append(config.preprocessing.apply(image))
            masks.append(None if mask is None else prepare_mask(mask, images[-1]))
        real = CropSampler(images, config.network.resolution, config.augment, masks)
    return KnownAbnormal(real, made, method.synthetic) if real or made else None


def _say(bad: tuple[str, ...]) -> None:
    for sentence in bad:
        log.warning("skipped: %s", sentence)
    if bad:
        log.warning("%d images were skipped", len(bad))
