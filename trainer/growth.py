"""Progressive growing: which stage, how far faded in, which batch, after so many images (Karras 2018, §2)."""

from __future__ import annotations

from dataclasses import dataclass

from trainer.config import ScheduleConfig


@dataclass(frozen=True)
class Growth:
    """State of the growth: stage s works at 4·2^s px; alpha in (0, 1] is the weight of the newest stage."""

    stage: int
    alpha: float
    batch: int

    @property
    def resolution(self) -> int:
        """Pixels of the images of this stage."""
        return int(4 * 2**self.stage)


def total_images(schedule: ScheduleConfig, last_stage: int) -> int:
    """Images of a whole training; the last stage is stable for final_images."""
    return last_stage * schedule.stable_images + last_stage * schedule.fade_images + schedule.final_images


def growth_at(images: int, schedule: ScheduleConfig, last_stage: int) -> Growth:
    """Growth after `images` real images."""
    stage, alpha = 0, 1.0
    left = images - schedule.stable_images
    while left >= 0 and stage < last_stage:
        stage += 1
        if left < schedule.fade_images:
            alpha = (left + 1) / schedule.fade_images
            break
        left -= schedule.fade_images + schedule.stable_images
    return Growth(stage, min(1.0, alpha), schedule.batches.get(4 * 2**stage, schedule.batch))


def learning_rate_at(images: int, schedule: ScheduleConfig, total: int) -> float:
    """Constant, then linear to a twentieth over the last quarter."""
    left = 1 - images / total
    return schedule.learning_rate * min(1.0, max(0.05, 4 * left))
