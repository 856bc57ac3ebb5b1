"""The data of a training: samplers over prepared images, and the split behind them."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from latentline.base.counted import counted
from latentline.errors import DatasetError
from latentline.scoring.calibration import FALSE_ALARM_RATE
from latentline.scoring.held_out import split_held_out, too_few_normals
from latentline.scoring.thresholds import promise
from latentline.vision.content import pixel_hash
from trainer.config import TrainConfig
from trainer.data.crops import CropSampler, prepare_mask
from trainer.data.known_abnormal import KnownAbnormal, MaskedTiles
from trainer.data.loading import load
from trainer.data.mask_counts import MaskCounts
from trainer.data.pasting import PastedSampler
from trainer.data.source import ImageSource
from trainer.data.sources import open_source
from trainer.data.split import Split
from trainer.data.synthetic import SyntheticSampler
from trainer.methods import NoisyAnoGan
from trainer.run.labelled import MOST_OF_DEFECTS, added_images, labelled_shares, load_normal, warn_of_skipped

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingData:
    """Samplers of tiles; `abnormal` is None where the method is shown nothing abnormal.

    trained_on  hash of the content of each image that trains, by side: train, known_abnormal (`pixel_hash`)
    shortage    why the held-out images are too few to evaluate or export the model; None: they are enough
    """

    normal: CropSampler
    abnormal: KnownAbnormal | None
    split: Split
    source: ImageSource
    trained_on: Mapping[str, frozenset[str]] = field(default_factory=dict)
    shortage: str | None = None


def open_training_source(config: TrainConfig) -> tuple[ImageSource, Split]:
    """The source of a training and its split. Raises DatasetError."""
    source = open_source(config.data, config.preprocessing)
    split = source.split(config.schedule.seed)
    return source, split if isinstance(config.method, NoisyAnoGan) else split.without_abnormal()


def load_training_data(config: TrainConfig, opened: tuple[ImageSource, Split] | None = None) -> TrainingData:
    """Read and prepare the images of a training; log skipped images, and a shortage of held-out ones.

    opened  what `open_training_source` gave; None: it is opened here
    Raises DatasetError.
    """
    source, split = opened or open_training_source(config)
    readable = _readable(source, split.held_out)
    sides = split_held_out(split.held_out, source.groups(), config.schedule.seed)
    standardising, scored = ([name for name in side if name in readable] for side in sides)
    shortage = _shortage(len(readable), too_few_normals(len(standardising), len(scored), FALSE_ALARM_RATE))
    if shortage is not None:
        log.warning("%s", shortage)
    else:
        groups = source.groups()
        promised = promise(len(scored), len({groups.get(name, name) for name in scored}), FALSE_ALARM_RATE)
        log.info("after calibration %s", "; ".join(filter(None, [promised.sentence, promised.cost])))
    trained: dict[str, set[str]] = {"train": set(), "known_abnormal": set()}
    normal = load_normal(config, source, split.train, lambda image: trained["train"].add(pixel_hash(image)))
    abnormal = _load_known_abnormal(config, source, split, normal, trained["known_abnormal"])
    trained_on = {side: frozenset(contents) for side, contents in trained.items()}
    return TrainingData(normal, abnormal, split, source, trained_on, shortage)


def _readable(source: ImageSource, names: Sequence[str]) -> frozenset[str]:
    """The held-out images that calibration will be able to read; a warning names the others. Raises DatasetError."""
    loaded = load(source, names, lambda image: image[:0].copy())
    warn_of_skipped(loaded.skipped)
    return frozenset(loaded.images)


def _shortage(held_out: int, reason: str | None) -> str | None:
    if reason is None:
        return None
    images = counted(held_out, "normal image is", "normal images are")
    return f"{images} held out (data.held_out_fraction), too few for evaluate and export: {reason}"


def _load_known_abnormal(
    config: TrainConfig, source: ImageSource, split: Split, normal: CropSampler, trained: set[str]
) -> KnownAbnormal | None:
    method = config.method
    if not isinstance(method, NoisyAnoGan):
        return None
    if not (split.known_abnormal or method.synthetic_fraction):
        if config.schedule.discriminator_images:
            raise DatasetError(
                f"{source.place}: no known-abnormal image is left for training, and schedule.discriminator_images "
                "needs some; name more of them, or set method.synthetic_fraction"
            )
        return None
    if split.known_abnormal and method.synthetic_fraction == 1:
        log.warning(
            "%s nothing, because method.synthetic_fraction is 1: set it below 1",
            counted(len(split.known_abnormal), "known-abnormal image teaches", "known-abnormal images teach"),
        )
    if not split.known_abnormal or method.synthetic_fraction == 1:
        return mix_known_abnormal(method, None, normal)
    loaded = load(source, split.known_abnormal)
    warn_of_skipped(loaded.skipped)
    images, masks, counts = [], [], MaskCounts()
    shares = labelled_shares(list(loaded.images), added_images(source).defects, MOST_OF_DEFECTS)
    for name, image in loaded.images.items():
        mask = source.mask(name, (image.shape[0], image.shape[1]))
        counts.add(mask)
        trained.add(pixel_hash(image))
        images.append(config.preprocessing.apply(image))
        masks.append(None if mask is None else prepare_mask(mask, images[-1]))
    known = counted(counts.images, "known-abnormal image")
    log.info("%s with a mask", counted(counts.used, f"of {known} trains", f"of {known} train"))
    if method.patch_head and not counts.used and not method.synthetic_fraction:
        log.warning("method.patch_head learns from masks, and there are none: it learns nothing")
    real = CropSampler(images, config.network.resolution, config.augment, masks, shares)
    return mix_known_abnormal(method, real, normal)


def mix_known_abnormal(method: NoisyAnoGan, real: CropSampler | None, normal: CropSampler) -> KnownAbnormal:
    """The abnormal batch in the shares of `method`: tiles of known-abnormal images (`real`), pasted and synthetic ones.

    real  None: all tiles are synthetic
    """
    synthetic = 1.0 if real is None else method.synthetic_fraction
    sources: list[tuple[MaskedTiles, float]] = []
    if real is not None:
        pasted = method.pasted_fraction * (1 - synthetic)
        sources += [(real, 1 - synthetic - pasted), (PastedSampler(real, normal), pasted)]
    return KnownAbnormal([*sources, (SyntheticSampler(normal), synthetic)])
