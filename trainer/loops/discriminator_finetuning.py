"""Fine-tuning the discriminator: D keeps learning alone, on normal and known-abnormal tiles, when G is finished.

    L = −γ·E_x[log D(x)] − (1 − γ)·E_an[log(1 − D(x_an))]  +  patch_head · the patch head's loss

This is the Noisy-AnoGAN objective without generated images. In the game D needs small steps without momentum and learns
little from the few known-abnormal images; alone it can take large steps.
"""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import Tensor

from latentline.errors import DivergenceError
from trainer.config import TrainConfig
from trainer.data.crops import CropSampler
from trainer.data.known_abnormal import KnownAbnormal
from trainer.data.step_tiles import StepTileSource
from trainer.loops.averaging import update_average
from trainer.loops.gan import GanTraining
from trainer.loops.optimizer_step import OptimizerStep, autocast, learning_rate_at
from trainer.loops.training import StepReport, TileReconstructor, TrainingState, tensors_under
from trainer.loops.workers import Workers
from trainer.losses.adversarial import discriminator_finetune_loss
from trainer.losses.patch_head import patch_head_loss
from trainer.methods import NoisyAnoGan

ADAM_BETAS = (0.9, 0.99)
FINETUNING = "discriminator_finetuning"  # of the phase: in reports, and of its state in a checkpoint


class DiscriminatorFinetuning:
    """Trains the GAN's own discriminator on `discriminator_images` normal tiles and as many known-abnormal ones.

    At the end the discriminator takes the weights of its running average. D is in eval mode, to be trained as it is
    used: with the constant in place of the minibatch's standard deviation.
    """

    def __init__(
        self, config: TrainConfig, gan: GanTraining, normal: CropSampler, abnormal: KnownAbnormal, workers: Workers
    ) -> None:
        schedule = config.schedule
        assert isinstance(config.method, NoisyAnoGan)
        self.images, self.total_images = 0, schedule.discriminator_images
        self._config, self._workers = config, workers
        self._tiles = StepTileSource(normal, abnormal, ahead=workers.device.type != "cpu")
        self._gamma, self._patch_weight = config.method.gamma, config.method.patch_head
        self._discriminator = gan.discriminator.eval()
        self._average = copy.deepcopy(self._discriminator).requires_grad_(False)
        self._batch = schedule.batch_per_resolution.get(config.network.resolution, schedule.batch)
        self._optimizer_step = OptimizerStep(self._discriminator.parameters(), ADAM_BETAS, schedule.precision, workers)
        self._crops = np.random.default_rng(schedule.seed + 2)

    def step(self) -> StepReport:
        """Train on one batch. Raises DivergenceError when the loss is not finite; nothing has changed then."""
        shard = self._workers.shard
        drawn = self._tiles.draw(self._batch, self._batch, self._crops)
        assert drawn.abnormal is not None
        normal = shard(drawn.normal)
        abnormal, masks, known = map(shard, drawn.abnormal)
        x = torch.cat([normal, abnormal]).contiguous(memory_format=torch.channels_last)
        with autocast(self._config.schedule.precision, self._workers.device):
            logit, _, patches = self._discriminator.outputs(x, patch_head=self._patch_weight > 0)
        real, known_abnormal = logit.float().chunk(2)
        loss = discriminator_finetune_loss(real, known_abnormal, self._gamma)
        if patches is not None:
            loss = loss + self._patch_weight * self._patch_head_loss(patches.float(), masks, known)
        probabilities = {"real": real.sigmoid().mean(), "abnormal": known_abnormal.sigmoid().mean()}
        rate = learning_rate_at(self._config.schedule.discriminator_learning_rate, self.images, self.total_images)
        try:
            metrics = self._optimizer_step.step(loss, rate, {FINETUNING: loss, **probabilities})
        except FloatingPointError as error:
            raise DivergenceError(f"discriminator fine-tuning, after {self.images} images: {error}") from None
        update_average(self._average, self._discriminator, self._batch, self.images)
        self.images += self._batch
        if self.images >= self.total_images:
            self._discriminator.load_state_dict(self._average.state_dict())
        losses = {FINETUNING: metrics.pop(FINETUNING)}
        return StepReport(self.images, self._discriminator.last_stage, 1.0, losses, metrics)

    def _patch_head_loss(self, patches: Tensor, masks: Tensor, known: Tensor) -> Tensor:
        """The loss on logits of normal, then of abnormal tiles: every patch of a normal tile is known to be normal."""
        all_masks = torch.cat([torch.zeros_like(masks), masks])
        return patch_head_loss(patches, all_masks, torch.cat([torch.ones_like(known), known]))

    def reconstructor(self) -> TileReconstructor | None:
        """None: this phase trains no encoder."""
        return None

    def state(self) -> TrainingState:
        """What a resume needs beside the discriminator itself, which is in the GAN's state."""
        optimizer = self._optimizer_step.state(f"{FINETUNING}_adam")
        if self.images < self.total_images:
            average = self._average.state_dict()
            optimizer |= {f"unfinished.{FINETUNING}.{k}": v.contiguous().cpu() for k, v in average.items()}
        metadata = {"images": self.images, "crops": self._crops.bit_generator.state}
        return TrainingState({}, optimizer, {FINETUNING: metadata})

    def restore(self, state: TrainingState) -> None:
        """The inverse of `state`. Raises KeyError, ValueError or RuntimeError."""
        average = tensors_under(state.optimizer, f"unfinished.{FINETUNING}") or self._discriminator.state_dict()
        self._average.load_state_dict(average)
        self._optimizer_step.restore(state.optimizer, f"{FINETUNING}_adam")
        self.images = int(state.metadata[FINETUNING]["images"])
        self._crops.bit_generator.state = state.metadata[FINETUNING]["crops"]
