"""Progressive growing (Karras et al. 2018, §2): stage, fade-in and batch as functions of the images shown."""

from __future__ import annotations

from dataclasses import dataclass

from trainer.settings.schedule import ScheduleConfig


@dataclass(frozen=True)
class Growth:
    """Images of `stage` have `resolution` px and come in batches of `batch`; alpha in (0, 1] is the stage's weight."""

    stage: int
    alpha: float
    resolution: int
    batch: int


def stage_resolution(stage: int, patch_size: int) -> int:
    """Side in px of the images of a stage: 4·2^stage positions of `patch_size` px."""
    return int(4 * 2**stage * patch_size)


def total_images(schedule: ScheduleConfig, last_stage: int) -> int:
    """Images of the whole game: stable for each stage but the last, fade for each but the first, final for the last."""
    return last_stage * schedule.stable_images + last_stage * schedule.fade_images + schedule.final_images


def growth_at(images: int, schedule: ScheduleConfig, last_stage: int, patch_size: int) -> Growth:
    """The growth after `images` real images."""
    stage, alpha = 0, 1.0
    left = images - schedule.stable_images
    while left >= 0 and stage < last_stage:
        stage += 1
        if left < schedule.fade_images:
            alpha = (left + 1) / schedule.fade_images
            break
        left -= schedule.fade_images + schedule.stable_images
    resolution = stage_resolution(stage, patch_size)
    return Growth(stage, min(1.0, alpha), resolution, schedule.batch_per_resolution.get(resolution, schedule.batch))
