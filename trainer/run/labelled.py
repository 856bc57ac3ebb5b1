"""Labelled images in a training: each has a share of the tiles, or it would drown among thousands of others."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence

from latentline.base.counted import counted
from latentline.vision.bit_depth import UInt8
from trainer.config import TrainConfig
from trainer.data.added import AddedImages, Box, boxes_mask
from trainer.data.crops import CropSampler, Mask, prepare_mask
from trainer.data.folders import FolderSource
from trainer.data.loading import load
from trainer.data.region_source import RegionSource
from trainer.data.source import ImageSource

MOST_OF_NORMAL, MOST_OF_DEFECTS = 0.25, 0.5  # of the tiles come from labelled images, beside their part by area
_OF_EACH = 0.02  # of the tiles
log = logging.getLogger(__name__)


def added_images(source: ImageSource) -> AddedImages:
    """The labelled images of a source; most sources have none."""
    whole = source.whole if isinstance(source, RegionSource) else source
    return whole.added if isinstance(whole, FolderSource) else AddedImages()


def labelled_shares(names: Sequence[str], labelled: Collection[str], most: float) -> dict[int, float]:
    """The least share of the tiles for each of the `names` that is labelled, by its index; at most `most` together."""
    found = [index for index, name in enumerate(names) if name in set(labelled)]
    return {index: min(_OF_EACH, most / len(found)) for index in found}


def load_normal(
    config: TrainConfig, source: ImageSource, names: Sequence[str], seen: Callable[[UInt8], None]
) -> CropSampler:
    """The normal images of a training. A false alarm gives tiles of the places that the station took for defects.

    seen  called with each image as its file has it
    Raises DatasetError.
    """
    added = added_images(source)

    def prepared(image: UInt8) -> UInt8:
        seen(image)
        return config.preprocessing.apply(image)

    loaded = load(source, names, prepared)
    warn_of_skipped(loaded.skipped)
    images = list(loaded.images.values())
    if not added.good:
        return CropSampler(images, config.network.resolution, config.augment)
    masks = []
    for name, image in loaded.images.items():
        boxes = added.boxes.get(name)
        masks.append(prepare_mask(_boxes_mask(source, name, boxes), image) if boxes else None)
    difficult = [name for name in added.good if name not in added.random]
    shares = labelled_shares(list(loaded.images), difficult, MOST_OF_NORMAL)
    trained = sum(name in set(added.good) for name in loaded.images)
    log.info(
        "%s, %d of them with at least %.1f%% of the normal tiles together",
        counted(trained, "labelled normal image trains", "labelled normal images train"),
        len(shares),
        100 * sum(shares.values()),
    )
    return CropSampler(images, config.network.resolution, config.augment, masks, shares)


def _boxes_mask(source: ImageSource, name: str, boxes: Sequence[Box]) -> Mask:
    """The boxes of an image, which are in pixels of the whole one, as a mask of what the source gives of it."""
    if isinstance(source, RegionSource):
        return source.region.cut(boxes_mask(boxes, source.whole_shape(name)))
    return boxes_mask(boxes, source.read(name).shape[:2])


def warn_of_skipped(skipped: tuple[str, ...]) -> None:
    """Log which images were skipped."""
    for sentence in skipped:
        log.warning("skipped: %s", sentence)
    if skipped:
        log.warning("%s skipped", counted(len(skipped), "image was", "images were"))
