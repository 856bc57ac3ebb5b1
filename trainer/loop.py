"""The training loop: one step of D, one of G, the running average; state that is saved and taken up again exactly."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from latentline.errors import CheckpointError
from trainer.checkpoint import build_networks, part
from trainer.config import TrainConfig
from trainer.data.crops import CropSampler
from trainer.growth import Growth, growth_at, learning_rate_at, total_images
from trainer.losses.adversarial import discriminator_loss, generator_loss, r1_penalty
from trainer.networks.layers import downsample, upsample

ADAM_BETAS = (0.0, 0.99)


@dataclass(frozen=True)
class StepReport:
    """Losses and mean verdicts D = σ(logit) of one step."""

    images: int
    stage: int
    alpha: float
    discriminator_loss: float
    generator_loss: float
    d_real: float
    d_generated: float
    d_abnormal: float | None


class Training:
    """Networks, optimisers and random states of one run; `step()` shows one batch.

    The random state is its own (latents: torch; crops: NumPy), so that a resumed run equals an uninterrupted one.
    """

    def __init__(self, config: TrainConfig, normal: CropSampler, abnormal: CropSampler | None) -> None:
        schedule = config.schedule
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(schedule.seed)
            generator, discriminator = build_networks(config.network, config.preprocessing.channels)
        # channels_last is the faster layout for these convolutions on CPUs and tensor cores
        self.generator = generator.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.discriminator = discriminator.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.generator).requires_grad_(False)
        self.images = 0
        self._steps = 0
        self._config, self._normal, self._abnormal = config, normal, abnormal
        self._total = total_images(schedule, self.generator.last_stage)
        self._optimizers = {
            name: torch.optim.Adam(network.parameters(), schedule.learning_rate, betas=ADAM_BETAS)
            for name, network in (("generator", self.generator), ("discriminator", self.discriminator))
        }
        self._latents = torch.Generator().manual_seed(schedule.seed)
        self._crops = np.random.default_rng(schedule.seed)

    @property
    def total_images(self) -> int:
        """Images of the whole training."""
        return self._total

    @property
    def finished(self) -> bool:
        """Whether the schedule is done."""
        return self.images >= self._total

    def growth(self) -> Growth:
        """Where the growth stands now."""
        return growth_at(self.images, self._config.schedule, self.generator.last_stage)

    def step(self) -> StepReport:
        """One discriminator step, one generator step, one step of the running average."""
        growth = self.growth()
        rate = learning_rate_at(self.images, self._config.schedule, self._total)
        for optimizer in self._optimizers.values():
            optimizer.param_groups[0]["lr"] = rate
        d_loss, d_real, d_generated, d_abnormal = self._discriminator_step(growth)
        g_loss = self._generator_step(growth)
        self._average_step(growth.batch)
        self.images += growth.batch
        self._steps += 1
        return StepReport(self.images, growth.stage, growth.alpha, d_loss, g_loss, d_real, d_generated, d_abnormal)

    def _discriminator_step(self, growth: Growth) -> tuple[float, float, float, float | None]:
        objective, at = self._config.objective, (growth.stage, growth.alpha)
        with torch.no_grad():
            generated = self.generator(self._latent(growth.batch), *at)
        real = self._shown(self._normal, growth)
        penalised = objective.r1 > 0 and self._steps % objective.r1_every == 0
        real.requires_grad_(penalised)
        real_logit = self.discriminator(real, *at, record_stddev=True)[0]
        generated_logit = self.discriminator(generated, *at)[0]
        abnormal_logit = None
        if self._abnormal is not None:
            abnormal_logit = self.discriminator(self._shown(self._abnormal, growth), *at)[0]
        loss = discriminator_loss(real_logit, generated_logit, abnormal_logit, objective.gamma)
        value = float(loss.detach())
        if penalised:
            loss = loss + objective.gamma * objective.r1_every * objective.r1 * r1_penalty(real_logit, real)
        self._descend("discriminator", loss)
        verdicts = [None if x is None else float(x.detach().sigmoid().mean()) for x in (real_logit, generated_logit)]
        last = None if abnormal_logit is None else float(abnormal_logit.detach().sigmoid().mean())
        return value, verdicts[0] or 0.0, verdicts[1] or 0.0, last

    def _generator_step(self, growth: Growth) -> float:
        self.discriminator.requires_grad_(False)
        generated = self.generator(self._latent(growth.batch), growth.stage, growth.alpha)
        logit = self.discriminator(generated, growth.stage, growth.alpha)[0]
        loss = generator_loss(logit, self._config.objective.gamma)
        self._descend("generator", loss)
        self.discriminator.requires_grad_(True)
        return float(loss.detach())

    def _descend(self, name: str, loss: Tensor) -> None:
        self._optimizers[name].zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimizers[name].step()

    def _average_step(self, batch: int) -> None:
        # at the start the average follows quickly, else it would show the first random weights for long
        half_life = min(self._config.schedule.ema_images, max(self.images, batch) / 4)
        keep = 0.5 ** (batch / half_life)
        with torch.no_grad():
            for mean, now in zip(self.average.parameters(), self.generator.parameters(), strict=True):
                mean.lerp_(now, 1 - keep)

    def _latent(self, count: int) -> Tensor:
        return torch.randn(count, self.generator.latent_size, generator=self._latents)

    def _shown(self, sampler: CropSampler, growth: Growth) -> Tensor:
        """Tiles at the stage's resolution, blended with the resolution before while it fades in."""
        x = sampler.draw(growth.batch, self._crops)
        while x.shape[-1] > growth.resolution:
            x = downsample(x)
        if growth.alpha < 1:
            x = torch.lerp(upsample(downsample(x)), x, growth.alpha)
        return x.contiguous(memory_format=torch.channels_last)

    # ------------------------------------------------------------------ state

    def state(self) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Any]]:
        """Networks, optimiser tensors and the rest, for a checkpoint."""
        parts: dict[str, nn.Module] = {
            "generator": self.generator,
            "average": self.average,
            "discriminator": self.discriminator,
        }
        networks = {f"{p}.{k}": v.contiguous() for p, m in parts.items() for k, v in m.state_dict().items()}
        optimizer = {"latents": self._latents.get_state()}
        for name, adam in self._optimizers.items():
            for index, moments in adam.state_dict()["state"].items():
                optimizer.update({f"{name}.{index}.{k}": v.contiguous() for k, v in moments.items()})
        rest = {"images": self.images, "steps": self._steps, "crops": self._crops.bit_generator.state}
        return networks, optimizer, rest

    def restore(self, networks: dict[str, Tensor], optimizer: dict[str, Tensor], rest: dict[str, Any]) -> None:
        """Take up the state of a checkpoint of the same configuration. Raises CheckpointError."""
        try:
            for name in ("generator", "average", "discriminator"):
                getattr(self, name).load_state_dict(part(networks, name))
            for name, adam in self._optimizers.items():
                moments: dict[int, dict[str, Tensor]] = {}
                for key, value in part(optimizer, name).items():
                    index, field = key.split(".")
                    moments.setdefault(int(index), {})[field] = value
                adam.load_state_dict({"state": moments, "param_groups": adam.state_dict()["param_groups"]})
            self._latents.set_state(optimizer["latents"])
            self.images, self._steps = int(rest["images"]), int(rest["steps"])
            self._crops.bit_generator.state = rest["crops"]
        except (KeyError, ValueError, TypeError, RuntimeError):
            raise CheckpointError("the checkpoint does not fit this configuration; start in a new folder") from None
