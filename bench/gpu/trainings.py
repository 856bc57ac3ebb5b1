"""Trainings over images of noise, to be timed and compared: no data needed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from bench.configs import CONFIGS, read_config
from trainer.data.crops import CropSampler
from trainer.loops.gan import GanTraining
from trainer.loops.workers import Workers
from trainer.methods import NoisyAnoGan
from trainer.run.training_data import mix_known_abnormal

IMAGES, ABNORMAL = 32, 8
DEFECT = 24  # px, the side of the square that is marked in an abnormal image


@dataclass(frozen=True)
class Case:
    """A network and its batch. px: resolution; patch: px a side of a position of the outermost layers.

    base, most  how many feature maps: `network.fmap_base`, `network.fmap_max`
    """

    px: int
    batch: int
    patch: int = 4
    base: int = 256
    most: int = 64

    def __str__(self) -> str:
        return f"{self.px} px, patch {self.patch}, maps {self.base}/{self.most}, batch {self.batch}"


def training(case: Case, precision: str, device: torch.device, **schedule: object) -> GanTraining:
    """Noisy-AnoGAN's training of a case from its beginning. schedule: changes to that section of the configuration."""
    changes = {
        "network.resolution": case.px,
        "network.patch_size": case.patch,
        "network.fmap_base": case.base,
        "network.fmap_max": case.most,
        "schedule.batch": case.batch,
        "schedule.precision": precision,
        **{f"schedule.{key}": value for key, value in schedule.items()},
    }
    settings = read_config(CONFIGS / "methods" / "noisy_anogan.yaml", changes)
    assert isinstance(settings.method, NoisyAnoGan)
    rng, side = np.random.default_rng(0), max(256, case.px + 64)
    shape = (side, side, settings.preprocessing.channels)
    images = [rng.integers(0, 256, shape, np.uint8) for _ in range(IMAGES)]
    mask = np.pad(np.ones((DEFECT, DEFECT), np.bool_), (side - DEFECT) // 2)
    normal = CropSampler(images, case.px, settings.augment)
    marked = CropSampler(images[:ABNORMAL], case.px, settings.augment, [mask] * ABNORMAL)
    abnormal = mix_known_abnormal(settings.method, marked, normal)
    return GanTraining(settings, normal, abnormal, Workers(device=device))


def full_resolution(case: Case, precision: str, device: torch.device) -> GanTraining:
    """The same at the beginning of its last stage, where its steps are the longest."""
    made = training(case, precision, device)
    made.images = made.total_images - _final_images(made)
    return made


def _final_images(made: GanTraining) -> int:
    return made._config.schedule.final_images
