"""What a package says of the images behind it: so that nobody judges a model by pictures that it was trained on."""

from __future__ import annotations

import logging

from tqdm import tqdm

from latentline.errors import ImageError
from latentline.package.manifest import MOST_TRAINED_IMAGES
from latentline.vision.content import short_hash
from trainer.data.loading import SECONDS_BEFORE_PROGRESS
from trainer.data.source import ImageSource
from trainer.data.split import Split

log = logging.getLogger("trainer")  # the one that the command line shows


def trained_images(source: ImageSource, split: Split) -> tuple[str, ...] | None:
    """The short hashes of all images that train, calibrate or are known abnormal; None: there are too many to record.

    Images that cannot be read are left out: they did not train either.
    """
    names = {*split.train, *split.held_out, *split.known_abnormal, *split.validation_abnormal}
    if len(names) > MOST_TRAINED_IMAGES:
        log.warning("the package does not record its %d images, more than %d", len(names), MOST_TRAINED_IMAGES)
        return None
    found = set()
    for name in tqdm(sorted(names), unit="img", desc="recording the images", delay=SECONDS_BEFORE_PROGRESS):
        try:
            found.add(short_hash(source.read(name)))
        except ImageError:
            continue
    return tuple(sorted(found))
