"""The discriminator goes on alone once the generator is finished: its verdict on a frame, from what is known abnormal.

    L = −γ·E_x[log D(x)] − (1 − γ)·E_an[log(1 − D(x_an))]  +  patch_head · the patch head's loss

is the Noisy-AnoGAN objective without the generated images. Against a generator D needs small steps and no memory, and
learns little of the few known-abnormal images meanwhile; alone it takes large ones.
"""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import Tensor

from latentline.errors import TrainingError
from trainer.config import TrainConfig
from trainer.data.crops import CropSampler
from trainer.data.known_abnormal import KnownAbnormal
from trainer.loops.gan import GanTraining
from trainer.loops.growth import falling
from trainer.loops.optimizer_step import OptimizerStep, mixed
from trainer.loops.training import StepReport, TrainingState, part
from trainer.loops.workers import Workers
from trainer.losses.adversarial import discriminator_finetune_loss
from trainer.losses.patch_head import patch_head_loss
from trainer.methods import NoisyAnoGan

ADAM_BETAS = (0.9, 0.99)


class DiscriminatorFinetuning:
    """Shows `discriminator_images` normal tiles, and as many abnormal ones, to the GAN's own discriminator.

    At the end that discriminator becomes its running average. D is in eval mode, so that it is trained as it judges:
    with the constant that stands for the minibatch's deviation.
    """

    def __init__(
        self, config: TrainConfig, gan: GanTraining, normal: CropSampler, abnormal: KnownAbnormal, workers: Workers
    ) -> None:
        schedule = config.schedule
        assert isinstance(config.method, NoisyAnoGan)
        self.images, self.total_images = 0, schedule.discriminator_images
        self._config, self._normal, self._abnormal, self._workers = config, normal, abnormal, workers
        self._gamma, self._patch_weight = config.method.gamma, config.method.patch_head
        self._discriminator = gan.discriminator.eval()
        self._average = copy.deepcopy(self._discriminator).requires_grad_(False)
        self._batch = schedule.batches.get(config.network.resolution, schedule.batch)
        self._optimizer_step = OptimizerStep(self._discriminator.parameters(), ADAM_BETAS, schedule.precision, workers)
        self._crops = np.random.default_rng(schedule.seed + 2)

    def step(self) -> StepReport:
        """Show one batch. Raises TrainingError when the loss is not finite; nothing has changed then."""
        share = self._workers.share
        normal = share(self._normal.draw(self._batch, self._crops))
        drawn = self._abnormal.draw_with_masks(self._batch, self._crops)
        abnormal, masks, known = (share(part) for part in drawn)
        x = torch.cat([normal, abnormal]).contiguous(memory_format=torch.channels_last)
        with mixed(self._config.schedule.precision, self._workers.device):
            logit, _, patches = self._discriminator.judge(x, patch_head=self._patch_weight > 0)
        real, known_abnormal = logit.float().chunk(2)
        loss = discriminator_finetune_loss(real, known_abnormal, self._gamma)
        if patches is not None:
            loss = loss + self._patch_weight * self._local_loss(patches.float(), masks, known)
        verdicts = {"real": real.sigmoid().mean(), "abnormal": known_abnormal.sigmoid().mean()}
        rate = falling(self._config.schedule.discriminator_learning_rate, self.images, self.total_images)
        try:
            figures = self._optimizer_step.step(loss, rate, {"verdict": loss, **verdicts})
        except FloatingPointError as error:
            raise TrainingError(f"verdict, after {self.images} images: {error}") from None
        self._average_step()
        self.images += self._batch
        if self.images >= self.total_images:
            self._discriminator.load_state_dict(self._average.state_dict())
        return StepReport(
            self.images, self._discriminator.last_stage, 1.0, {"verdict": figures.pop("verdict")}, figures
        )

    def _local_loss(self, patches: Tensor, masks: Tensor, known: Tensor) -> Tensor:
        none, told = torch.zeros_like(masks), torch.ones_like(known)
        return patch_head_loss(patches, torch.cat([none, masks]), torch.cat([told, known]))

    def _average_step(self) -> None:
        half_life = min(self._config.schedule.ema_images, max(self.images, self._batch) / 4)
        keep = 0.5 ** (self._batch / half_life)
        with torch.no_grad():
            torch._foreach_lerp_(list(self._average.parameters()), list(self._discriminator.parameters()), 1 - keep)

    def state(self) -> TrainingState:
        """The discriminator itself is the GAN's; here is what a resume needs beside it."""
        optimizer = self._optimizer_step.state("verdict_adam")
        if self.images < self.total_images:
            average = self._average.state_dict()
            optimizer |= {f"unfinished.verdict.{k}": v.contiguous().cpu() for k, v in average.items()}
        rest = {"images": self.images, "crops": self._crops.bit_generator.state}
        return TrainingState({}, optimizer, {"verdict": rest})

    def restore(self, state: TrainingState) -> None:
        """The inverse of `state`. Raises KeyError, ValueError or RuntimeError."""
        average = part(state.optimizer, "unfinished.verdict") or self._discriminator.state_dict()
        self._average.load_state_dict(average)
        self._optimizer_step.restore(state.optimizer, "verdict_adam")
        self.images = int(state.rest["verdict"]["images"])
        self._crops.bit_generator.state = state.rest["verdict"]["crops"]
