"""A training schedule cut to a number of images."""

from __future__ import annotations

from trainer.config import TrainConfig
from trainer.networks.layers import stages

_IMAGES = (
    "fade_images",
    "stable_images",
    "final_images",
    "discriminator_images",
    "encoder_images",
    "checkpoint_images",
)


def total_images(config: TrainConfig) -> int:
    """Images that a training shows in all its phases."""
    schedule = config.schedule
    grown = stages(config.network.resolution, config.network.patch_size) - 1 if config.method.is_gan else 0
    later = schedule.final_images + schedule.discriminator_images + schedule.encoder_images
    return grown * (schedule.fade_images + schedule.stable_images) + later


def within_budget(config: TrainConfig, images: int | None) -> TrainConfig:
    """The same schedule with `images` images in total: every phase is scaled by the same factor.

    None leaves the schedule as it is.
    """
    if images is None:
        return config
    lengths = {name: getattr(config.schedule, name) for name in _IMAGES}
    factor = images / total_images(config)
    scaled = {name: max(1, round(length * factor)) for name, length in lengths.items() if length}
    return config.model_copy(update={"schedule": config.schedule.model_copy(update=scaled)})
