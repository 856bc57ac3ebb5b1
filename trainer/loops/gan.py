"""The training of the GANs: one step of D, one of G, the running average; saved and taken up again exactly."""

from __future__ import annotations

import copy
from contextlib import AbstractContextManager

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from latentline.errors import CheckpointError, TrainingError
from trainer.config import TrainConfig
from trainer.data.crops import CropSampler
from trainer.data.known_abnormal import KnownAbnormal
from trainer.loops.growth import Growth, falling, growth_at, stage_resolution, total_images
from trainer.loops.optimizer_step import OptimizerStep, mixed
from trainer.loops.training import StepReport, TrainingState, part
from trainer.loops.workers import ALONE, Workers
from trainer.losses.adversarial import discriminator_loss, generator_loss, r1_penalty
from trainer.losses.patch_head import patch_head_loss
from trainer.methods import GanMethod, NoisyAnoGan
from trainer.networks.factory import build_gan
from trainer.networks.layers import downsample, upsample

ADAM_BETAS = (0.0, 0.99)


class GanTraining:
    """Networks, optimisers and random states of one run of a GAN; `step()` shows one batch.

    The random state is its own (latents: torch; crops: NumPy) and on the CPU, so that a resumed run equals an
    uninterrupted one, and the same seed shows the same images on every device.
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
        self._config, self._normal, self._abnormal, self._workers = config, normal, abnormal, workers
        self._method: GanMethod = config.method
        noisy = config.method if isinstance(config.method, NoisyAnoGan) else None
        self._gamma, self._patch_weight = (noisy.gamma, noisy.patch_head) if noisy else (1.0, 0.0)
        self._optimizer_steps = {
            name: OptimizerStep(network.parameters(), ADAM_BETAS, schedule.precision, workers)
            for name, network in (("generator", self.generator), ("discriminator", self.discriminator))
        }
        for stage in range(self.generator.last_stage + 1):
            workers.check_batch(
                schedule.batches.get(stage_resolution(stage, config.network.patch_size), schedule.batch)
            )
        self._latents = torch.Generator().manual_seed(schedule.seed)
        self._crops = np.random.default_rng(schedule.seed)

    def growth(self) -> Growth:
        """Where the growth stands now."""
        config = self._config
        return growth_at(self.images, config.schedule, self.generator.last_stage, config.network.patch_size)

    def step(self) -> StepReport:
        """One discriminator step, one generator step, one step of the running average.

        Raises TrainingError when a loss is not finite; the networks are then as before the step.
        """
        growth = self.growth()
        rate = falling(self._config.schedule.learning_rate, self.images, self.total_images)
        before = {name: value.clone() for name, value in self.discriminator.state_dict().items()}
        try:
            with self._mixed():
                generated = self.generator(self._latent(growth.batch), growth.stage, growth.alpha)
            figures = self._discriminator_step(growth, generated.detach().float(), rate)
            figures |= self._generator_step(growth, generated, rate)
        except FloatingPointError as error:
            self.discriminator.load_state_dict(before)
            raise TrainingError(
                f"step {self._steps + 1} (after {self.images} images): {error}; the networks are as before it; "
                "lower schedule.learning_rate, or train with schedule.precision float32"
            ) from None
        self._average_step(growth.batch)
        self.images += growth.batch
        self._steps += 1
        losses = {k: figures.pop(k) for k in ("discriminator", "generator")}
        return StepReport(self.images, growth.stage, growth.alpha, losses, figures)

    def _discriminator_step(self, growth: Growth, generated: Tensor, rate: float) -> dict[str, float]:
        method, at = self._method, (growth.stage, growth.alpha)
        penalised = method.r1 > 0 and self._steps % method.r1_every == 0
        patch_head = self._patch_weight > 0 and growth.stage == self.generator.last_stage
        real = self._shown(self._normal.draw(growth.batch, self._crops), growth).requires_grad_(penalised)
        # the penalty, a derivative of a derivative, stays float32
        with self._mixed(not penalised):
            real_logit, _, normal_patches = self.discriminator.judge(
                real, *at, record_stddev=True, patch_head=patch_head
            )
            real_logit = real_logit.float()
        with self._mixed():
            logits = {"real": real_logit, "generated": self.discriminator(generated, *at)[0].float()}
        localised = torch.zeros((), device=real.device)
        if self._abnormal is not None:
            tiles, masks, known = self._abnormal.draw_with_masks(growth.batch, self._crops)
            abnormal = self._shown(tiles, growth)
            with self._mixed():
                logit, _, patches = self.discriminator.judge(abnormal, *at, patch_head=patch_head)
            logits["abnormal"] = logit.float()
            if normal_patches is not None and patches is not None:
                localised = self._local_loss(normal_patches, patches, masks, known)
        loss = discriminator_loss(real_logit, logits["generated"], logits.get("abnormal"), self._gamma)
        loss = shown = loss + self._patch_weight * localised
        if penalised:
            loss = loss + self._gamma * method.r1_every * method.r1 * r1_penalty(real_logit, real)
        verdicts = {name: logit.sigmoid().mean() for name, logit in logits.items()}
        figures = self._optimizer_steps["discriminator"].step(loss, rate, {"discriminator": shown, **verdicts})
        # each process recorded the mean of its own rows
        self._workers.average([self.discriminator.stddev_mean])
        return figures

    def _local_loss(self, normal: Tensor, abnormal: Tensor, masks: Tensor, known: Tensor) -> Tensor:
        """The patch head's loss: every patch of a normal tile is normal."""
        masks, known = self._workers.share(masks), self._workers.share(known)
        none, told = torch.zeros_like(masks), torch.ones_like(known)
        return patch_head_loss(
            torch.cat([normal, abnormal]).float(), torch.cat([none, masks]), torch.cat([told, known])
        )

    def _generator_step(self, growth: Growth, generated: Tensor, rate: float) -> dict[str, float]:
        self.discriminator.requires_grad_(False)
        try:
            with self._mixed():
                logit = self.discriminator(generated, growth.stage, growth.alpha)[0].float()
            loss = generator_loss(logit, self._gamma)
            return self._optimizer_steps["generator"].step(loss, rate, {"generator": loss})
        finally:
            self.discriminator.requires_grad_(True)

    def _average_step(self, batch: int) -> None:
        # at the start the average follows quickly, else it would show the first random weights for long
        half_life = min(self._config.schedule.ema_images, max(self.images, batch) / 4)
        keep = 0.5 ** (batch / half_life)
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.parameters()), list(self.generator.parameters()), 1 - keep)

    def _mixed(self, wanted: bool = True) -> AbstractContextManager[object]:
        return mixed(self._config.schedule.precision if wanted else "float32", self._workers.device)

    def _latent(self, count: int) -> Tensor:
        return self._workers.share(torch.randn(count, self.generator.latent_size, generator=self._latents))

    def _shown(self, tiles: Tensor, growth: Growth) -> Tensor:
        """This process's tiles at the stage's resolution, blended with the one before while it fades in."""
        x = self._workers.share(tiles)
        while x.shape[-1] > growth.resolution:
            x = downsample(x)
        if growth.alpha < 1:
            x = torch.lerp(upsample(downsample(x)), x, growth.alpha)
        return x.contiguous(memory_format=torch.channels_last)

    def samples(self, count: int, seed: int) -> npt.NDArray[np.float32]:
        """Images [count, C, r, r] of the averaged generator at the stage's resolution, always of the same latents."""
        z = torch.randn(count, self.generator.latent_size, generator=torch.Generator().manual_seed(seed))
        growth = self.growth()
        with torch.no_grad():
            images = self.average(z.to(self._workers.device), growth.stage, growth.alpha)
        return np.asarray(images.float().cpu().numpy())

    # ------------------------------------------------------------------ state

    def state(self) -> TrainingState:
        """Networks, optimiser tensors and the rest, for a checkpoint."""
        parts: dict[str, nn.Module] = {
            "generator": self.generator,
            "average": self.average,
            "discriminator": self.discriminator,
        }
        networks = {f"{p}.{k}": v.contiguous().cpu() for p, m in parts.items() for k, v in m.state_dict().items()}
        optimizer = {"latents": self._latents.get_state()}
        for name, optimizer_step in self._optimizer_steps.items():
            optimizer |= optimizer_step.state(name)
        rest = {"images": self.images, "steps": self._steps, "crops": self._crops.bit_generator.state}
        return TrainingState(networks, optimizer, rest)

    def restore(self, state: TrainingState) -> None:
        """Take up the state of a checkpoint of the same configuration. Raises CheckpointError."""
        try:
            for name in ("generator", "average", "discriminator"):
                getattr(self, name).load_state_dict(part(state.networks, name))
            for name, optimizer_step in self._optimizer_steps.items():
                optimizer_step.restore(state.optimizer, name)
            self._latents.set_state(state.optimizer["latents"])
            self.images, self._steps = int(state.rest["images"]), int(state.rest["steps"])
            self._crops.bit_generator.state = state.rest["crops"]
        except (KeyError, ValueError, TypeError, RuntimeError, IndexError):
            raise CheckpointError("the checkpoint does not fit this configuration; start in a new folder") from None
