"""Copies of one picture on both sides of a split, by their pixels: the figures and thresholds then mean less."""

from __future__ import annotations

import logging

from latentline.base.counted import counted
from latentline.vision.content import pixel_hash
from trainer.checkpoint import Checkpoint
from trainer.data.held_out import HeldOut

log = logging.getLogger(__name__)


def seen_images(checkpoint: Checkpoint, held_out: HeldOut) -> frozenset[str]:
    """`pixel_hash` of every image that trained the checkpoint or calibrates it.

    Logs a warning where normal held-out images are copies of those that trained: they look more normal than new ones.
    """
    of_all = counted(len(held_out.standardising) + len(held_out.scored), "held-out normal image")
    normal = [pixel_hash(frame) for frame in (*held_out.standardising, *held_out.scored)]
    if copies := sum(content in checkpoint.trained_on for content in normal):
        log.warning(
            "%s of images that trained the model, so there may be more false alarms than promised; take the copies out "
            "of train/good, and train again",
            counted(copies, f"of {of_all} is a copy", f"of {of_all} are copies"),
        )
    return checkpoint.trained_on.union(normal)
