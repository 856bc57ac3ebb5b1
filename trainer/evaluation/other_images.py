"""Whether a data root still holds the images that a model was trained on, or others under the same names."""

from __future__ import annotations

import logging

from latentline.errors import ImageError
from latentline.vision.content import pixel_hash
from trainer.checkpoint import Checkpoint
from trainer.data.source import ImageSource

LOOKED_AT = 5  # training images; one that is as it was is enough
log = logging.getLogger(__name__)


def warn_of_other_images(source: ImageSource, checkpoint: Checkpoint) -> None:
    """Warn where the training images that are looked at have other pixels than those that trained.

    Held-out images would then be others, too, and so would threshold and figures. A checkpoint that does not know its
    images is not judged.
    """
    looked = [content for name in checkpoint.split.train[:LOOKED_AT] if (content := _content(source, name)) is not None]
    if looked and checkpoint.trained_on and checkpoint.trained_on.isdisjoint(looked):
        log.warning(
            "%s: its training images are not those that trained this model, only their names are the same; figures and "
            "threshold will be about other images: give the data root of the run (--data)",
            source.place,
        )


def _content(source: ImageSource, name: str) -> str | None:
    try:
        return pixel_hash(source.read(name))
    except ImageError:
        return None
