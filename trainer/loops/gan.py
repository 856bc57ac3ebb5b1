"""The game: one step of D, one of G, one of the running average; a resumed run equals an uninterrupted one exactly."""

from __future__ import annotations

import copy
from contextlib import AbstractContextManager

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from latentline.errors import DivergenceError
from trainer.config import TrainConfig
from trainer.data.crops import CropSampler
from trainer.data.known_abnormal import KnownAbnormal
from trainer.data.step_tiles import StepTileSource
from trainer.loops.averaging import update_average
from trainer.loops.growth import Growth, growth_at, stage_resolution, total_images
from trainer.loops.network_training import NetworkTraining
from trainer.loops.optimizer_step import OptimizerStep, autocast, learning_rate_at
from trainer.loops.training import StepReport, TileReconstructor
from trainer.loops.workers import ALONE, Workers
from trainer.losses.adversarial import discriminator_loss, generator_loss, r1_penalty
from trainer.losses.patch_head import patch_head_loss
from trainer.methods import GanMethod, NoisyAnoGan
from trainer.networks.factory import build_gan
from trainer.networks.layers import downsample, upsample

ADAM_BETAS = (0.0, 0.99)


class GanTraining(NetworkTraining):
    """Networks, optimisers and random states of one GAN; `step()` trains on one batch.

    Latents (torch) and crops (NumPy) have random states of their own, on the CPU: a resumed run equals an uninterrupted
    one, and the same seed shows the same images on every device.
    """

    def __init__(
        self, config: TrainConfig, normal: CropSampler, abnormal: KnownAbnormal | None, workers: Workers = ALONE
    ) -> None:
        schedule = config.schedule
        assert isinstance(config.method, GanMethod)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(schedule.seed)
            generator, discriminator = build_gan(config)
        # channels_last is the faster layout for these convolutions on CPUs and tensor cores
        layout = {"device": workers.device, "memory_format": torch.channels_last}
        self.generator = generator.to(**layout)  # type: ignore[call-overload]
        self.discriminator = discriminator.to(**layout)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.generator).requires_grad_(False)
        self.images = 0
        self.total_images = total_images(schedule, self.generator.last_stage)
        self._steps = 0
        self._config, self._workers = config, workers
        self._tiles = StepTileSource(normal, abnormal, ahead=workers.device.type != "cpu")
        self._method: GanMethod = config.method
        noisy = config.method if isinstance(config.method, NoisyAnoGan) else None
        self._gamma, self._patch_weight = (noisy.gamma, noisy.patch_head) if noisy else (1.0, 0.0)
        self._optimizer_steps = {
            name: OptimizerStep(network.parameters(), ADAM_BETAS, schedule.precision, workers)
            for name, network in (("generator", self.generator), ("discriminator", self.discriminator))
        }
        for stage in range(self.generator.last_stage + 1):
            resolution = stage_resolution(stage, config.network.patch_size)
            workers.check_batch(schedule.batch_per_resolution.get(resolution, schedule.batch))
        self._latents = torch.Generator().manual_seed(schedule.seed)
        self._crops = np.random.default_rng(schedule.seed)

    def growth(self) -> Growth:
        """The growth after the images shown so far."""
        return self._growth_after(self.images)

    def _growth_after(self, images: int) -> Growth:
        config = self._config
        return growth_at(images, config.schedule, self.generator.last_stage, config.network.patch_size)

    def step(self) -> StepReport:
        """One step of the discriminator, one of the generator, one of the running average.

        Raises DivergenceError when a loss is not finite; the networks are then as before the step.
        """
        growth = self.growth()
        rate = learning_rate_at(self._config.schedule.learning_rate, self.images, self.total_images)
        before = {name: value.clone() for name, value in self.discriminator.state_dict().items()}
        try:
            with self._autocast():
                generated = self.generator(self._draw_latents(growth.batch), growth.stage, growth.alpha)
            metrics = self._discriminator_step(growth, generated.detach().float(), rate)
            metrics |= self._generator_step(growth, generated, rate)
        except FloatingPointError as error:
            self.discriminator.load_state_dict(before)
            raise DivergenceError(
                f"step {self._steps + 1} (after {self.images} images): {error}; the networks are as before this step; "
                "lower schedule.learning_rate, or train with schedule.precision float32"
            ) from None
        update_average(self.average, self.generator, growth.batch, self.images)
        self.images += growth.batch
        self._steps += 1
        losses = {k: metrics.pop(k) for k in ("discriminator", "generator")}
        return StepReport(self.images, growth.stage, growth.alpha, losses, metrics)

    def _discriminator_step(self, growth: Growth, generated: Tensor, rate: float) -> dict[str, float]:
        method, at = self._method, (growth.stage, growth.alpha)
        penalised = method.r1 > 0 and self._steps % method.r1_every == 0
        patch_head = self._patch_weight > 0 and growth.stage == self.generator.last_stage
        following = self._growth_after(self.images + growth.batch).batch
        drawn = self._tiles.draw(growth.batch, following, self._crops)
        real = self._at_stage(drawn.normal, growth).requires_grad_(penalised)
        with self._autocast(not penalised):  # the penalty, a derivative of a derivative, stays float32
            real_logit, _, normal_patches = self.discriminator.outputs(
                real, *at, record_stddev=True, patch_head=patch_head
            )
            real_logit = real_logit.float()
        with self._autocast():
            logits = {"real": real_logit, "generated": self.discriminator(generated, *at)[0].float()}
        patch_loss = torch.zeros((), device=real.device)
        if drawn.abnormal is not None:
            tiles, masks, known = drawn.abnormal
            abnormal = self._at_stage(tiles, growth)
            with self._autocast():
                logit, _, patches = self.discriminator.outputs(abnormal, *at, patch_head=patch_head)
            logits["abnormal"] = logit.float()
            if normal_patches is not None and patches is not None:
                patch_loss = self._patch_head_loss(normal_patches, patches, masks, known)
        objective = discriminator_loss(real_logit, logits["generated"], logits.get("abnormal"), self._gamma)
        loss = objective = objective + self._patch_weight * patch_loss
        if penalised:
            loss = loss + self._gamma * method.r1_every * method.r1 * r1_penalty(real_logit, real)
        probabilities = {name: logit.sigmoid().mean() for name, logit in logits.items()}
        metrics = self._optimizer_steps["discriminator"].step(loss, rate, {"discriminator": objective, **probabilities})
        # each process recorded the mean over its own rows
        self._workers.average([self.discriminator.stddev_mean])
        return metrics

    def _patch_head_loss(self, normal: Tensor, abnormal: Tensor, masks: Tensor, known: Tensor) -> Tensor:
        """The patch head's loss on both kinds of tiles: every patch of a normal tile is known to be normal."""
        masks, known = self._workers.shard(masks), self._workers.shard(known)
        return patch_head_loss(
            torch.cat([normal, abnormal]).float(),
            torch.cat([torch.zeros_like(masks), masks]),
            torch.cat([torch.ones_like(known), known]),
        )

    def _generator_step(self, growth: Growth, generated: Tensor, rate: float) -> dict[str, float]:
        self.discriminator.requires_grad_(False)
        try:
            with self._autocast():
                logit = self.discriminator(generated, growth.stage, growth.alpha)[0].float()
            loss = generator_loss(logit, self._gamma)
            return self._optimizer_steps["generator"].step(loss, rate, {"generator": loss})
        finally:
            self.discriminator.requires_grad_(True)

    def _autocast(self, enabled: bool = True) -> AbstractContextManager[object]:
        return autocast(self._config.schedule.precision if enabled else "float32", self._workers.device)

    def _draw_latents(self, count: int) -> Tensor:
        return self._workers.shard(torch.randn(count, self.generator.latent_size, generator=self._latents))

    def _at_stage(self, tiles: Tensor, growth: Growth) -> Tensor:
        """This process's tiles at the stage's resolution, blended with the stage before during the fade-in."""
        x = self._workers.shard(tiles)
        while x.shape[-1] > growth.resolution:
            x = downsample(x)
        if growth.alpha < 1:
            x = torch.lerp(upsample(downsample(x)), x, growth.alpha)
        return x.contiguous(memory_format=torch.channels_last)

    def samples(self, count: int, seed: int) -> npt.NDArray[np.float32]:
        """Images [count, C, r, r] of the averaged generator at the stage's resolution; a seed fixes the latents."""
        z = torch.randn(count, self.generator.latent_size, generator=torch.Generator().manual_seed(seed))
        growth = self.growth()
        with torch.no_grad():
            images = self.average(z.to(self._workers.device), growth.stage, growth.alpha)
        return np.asarray(images.float().cpu().numpy())

    def reconstructor(self) -> TileReconstructor | None:
        """None: the game has no encoder."""
        return None

    def _networks(self) -> dict[str, nn.Module]:
        """The networks by their names in a checkpoint."""
        return {"generator": self.generator, "average": self.average, "discriminator": self.discriminator}
