"""Progressive growing: which stage, how far faded in, which batch, after so many images (Karras 2018, §2)."""

from __future__ import annotations

from dataclasses import dataclass

from trainer.config import ScheduleConfig


@dataclass(frozen=True)
class Growth:
    """Images of `stage` have `resolution` px and come in batches of `batch`; alpha in (0, 1] is its weight."""

    stage: int
    alpha: float
    resolution: int
    batch: int


def stage_resolution(stage: int, patch_size: int) -> int:
    """Pixels of the images of a stage: 4·2^stage positions of `patch_size` px."""
    return int(4 * 2**stage * patch_size)


def total_images(schedule: ScheduleConfig, last_stage: int) -> int:
    """Images of a whole training; the last stage is stable for final_images."""
    return last_stage * schedule.stable_images + last_stage * schedule.fade_images + schedule.final_images


def growth_at(images: int, schedule: ScheduleConfig, last_stage: int, patch_size: int) -> Growth:
    """Growth after `images` real images, of networks of that `patch_size`."""
    stage, alpha = 0, 1.0
    left = images - schedule.stable_images
    while left >= 0 and stage < last_stage:
        stage += 1
        if left < schedule.fade_images:
            alpha = (left + 1) / schedule.fade_images
            break
        left -= schedule.fade_images + schedule.stable_images
    resolution = stage_resolution(stage, patch_size)
    return Growth(stage, min(1.0, alpha), resolution, schedule.batches.get(resolution, schedule.batch))


def falling(learning_rate: float, images: int, total: int) -> float:
    """The rate after `images` of `total`: constant, then linear to a twentieth over the last quarter."""
    left = 1 - images / total
    return learning_rate * min(1.0, max(0.05, 4 * left))
