"""What a package says of the images behind it: so that nobody judges a model by pictures that it was trained on."""

from __future__ import annotations

import logging

from tqdm import tqdm

from latentline.errors import ImageError
from latentline.package.manifest import MOST_TRAINED_IMAGES
from latentline.vision.content import short_hash, shortened
from trainer.checkpoint import Checkpoint
from trainer.data.loading import SECONDS_BEFORE_PROGRESS
from trainer.data.source import ImageSource

log = logging.getLogger("trainer")  # the one that the command line shows


def trained_images(source: ImageSource, checkpoint: Checkpoint) -> tuple[str, ...] | None:
    """The short hashes of all images that train, calibrate or are known abnormal; None: there are too many to record.

    Images that cannot be read are left out: they did not train either.
    """
    split = checkpoint.split
    names = {*split.held_out, *split.validation_abnormal}
    if not checkpoint.trained_on:
        names |= {*split.train, *split.known_abnormal}
    count = len(names) + len(checkpoint.trained_on)
    if count > MOST_TRAINED_IMAGES:
        log.warning("the package does not record its %d images, more than %d", count, MOST_TRAINED_IMAGES)
        return None
    found = set(map(shortened, checkpoint.trained_on))
    for name in tqdm(sorted(names), unit="img", desc="recording the images", delay=SECONDS_BEFORE_PROGRESS):
        try:
            found.add(short_hash(source.read(name)))
        except ImageError:
            continue
    return tuple(sorted(found))
