"""The training of a method, put together from the loops of this package."""

from __future__ import annotations

from functools import partial

from trainer.config import TrainConfig
from trainer.data.crops import CropSampler
from trainer.data.known_abnormal import KnownAbnormal
from trainer.loops.autoencoder import AutoencoderTraining
from trainer.loops.discriminator_finetuning import FINETUNING, DiscriminatorFinetuning
from trainer.loops.encoder import EncoderTraining
from trainer.loops.gan import GanTraining
from trainer.loops.pca import PcaTraining
from trainer.loops.phases import PhasedTraining, PlannedPhase
from trainer.loops.training import Training
from trainer.loops.workers import ALONE, Workers


def build_training(
    config: TrainConfig, normal: CropSampler, abnormal: KnownAbnormal | None, workers: Workers = ALONE
) -> Training:
    """The training that `config` describes, before its first step.

    abnormal  None where the method is shown nothing abnormal
    """
    if config.method.kind == "pca":
        return PcaTraining(config, normal)
    if not config.method.is_gan:
        return AutoencoderTraining(config, normal, workers)
    gan = GanTraining(config, normal, abnormal, workers)
    schedule = config.schedule
    planned: dict[str, PlannedPhase] = {}
    if schedule.encoder_images:
        start = partial(EncoderTraining, config, gan, normal, workers)
        planned["encoder"] = PlannedPhase(schedule.encoder_images, start)
    if schedule.discriminator_images:
        assert abnormal is not None
        finetune = partial(DiscriminatorFinetuning, config, gan, normal, abnormal, workers)
        planned[FINETUNING] = PlannedPhase(schedule.discriminator_images, finetune)
    return PhasedTraining(gan, planned) if planned else gan
