"""A GAN, then an encoder on the finished, frozen generator: where the search starts instead of at a random latent."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from latentline.errors import CheckpointError, TrainingError
from trainer.checkpoint import build_encoder, part
from trainer.config import TrainConfig
from trainer.data.crops import CropSampler
from trainer.descent import Descent, mixed
from trainer.loop import GanTraining
from trainer.losses.encoder import izi_f_loss
from trainer.methods import GanMethod
from trainer.search import freeze
from trainer.training import StepReport, TrainingState
from trainer.workers import Workers

ADAM_BETAS = (0.9, 0.99)


class EncoderTraining:
    """Shows `encoder_images` tiles to the encoder, half of them generated (they fill the gaps between few images)."""

    def __init__(self, config: TrainConfig, gan: GanTraining, normal: CropSampler, workers: Workers) -> None:
        schedule = config.schedule
        self._generator, self._discriminator = freeze(gan.average, gan.discriminator)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(schedule.seed)
            encoder = build_encoder(config)
        self.encoder = encoder.to(workers.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.images, self.total_images = 0, schedule.encoder_images
        self._config, self._normal, self._workers = config, normal, workers
        assert isinstance(config.method, GanMethod)
        self._kappa = config.method.kappa
        self._half = max(1, schedule.batches.get(config.network.resolution, schedule.batch) // 2)
        self._descent = Descent(self.encoder.parameters(), ADAM_BETAS, schedule.precision, workers)
        self._latents = torch.Generator().manual_seed(schedule.seed + 1)
        self._crops = np.random.default_rng(schedule.seed + 1)

    def step(self) -> float:
        """Show one batch; gives the loss. Raises TrainingError when it is not finite; nothing has changed then."""
        x = self._tiles()
        with mixed(self._config.schedule.precision, self._workers.device):
            with torch.no_grad():
                fx = self._discriminator(x)[1].float()
            reconstruction = self._generator(self.encoder(x))
            features = self._discriminator(reconstruction)[1].float()
        loss = izi_f_loss(x, reconstruction.float(), fx, features, self._kappa)
        left = 1 - self.images / self.total_images
        rate = self._config.schedule.encoder_learning_rate * min(1.0, 2 * left + 0.02)
        try:
            value = self._descent.step(loss, rate, {"encoder": loss})["encoder"]
        except FloatingPointError as error:
            raise TrainingError(f"encoder, after {self.images} images: {error}") from None
        self.images += 2 * self._half
        return value

    def _tiles(self) -> Tensor:
        z = torch.randn(self._half, self._config.network.latent_size, generator=self._latents)
        real = self._normal.draw(self._half, self._crops)
        with torch.no_grad():
            x = torch.cat([real.to(self._workers.device), self._generator(z.to(self._workers.device))])
        return self._workers.share(x).contiguous(memory_format=torch.channels_last)

    def state(self) -> TrainingState:
        """The encoder stands among the networks once it is trained; before, among what a resume needs."""
        weights = {f"encoder.{k}": v.contiguous().cpu() for k, v in self.encoder.state_dict().items()}
        done = self.images >= self.total_images
        optimizer = {"encoder_latents": self._latents.get_state(), **self._descent.state("encoder_adam")}
        if not done:
            optimizer.update({f"unfinished.{k}": v for k, v in weights.items()})
        rest = {"images": self.images, "crops": self._crops.bit_generator.state}
        return TrainingState(weights if done else {}, optimizer, {"encoder": rest})

    def restore(self, state: TrainingState) -> None:
        """The inverse of `state`. Raises KeyError, ValueError or RuntimeError."""
        weights = part(state.networks, "encoder") or part(state.optimizer, "unfinished.encoder")
        self.encoder.load_state_dict(weights)
        self._descent.restore(state.optimizer, "encoder_adam")
        self._latents.set_state(state.optimizer["encoder_latents"])
        self.images = int(state.rest["encoder"]["images"])
        self._crops.bit_generator.state = state.rest["encoder"]["crops"]


class GanThenEncoder:
    """Both as one Training: `images` and `total_images` count both."""

    def __init__(self, config: TrainConfig, gan: GanTraining, normal: CropSampler, workers: Workers) -> None:
        self._config, self._gan, self._normal, self._workers = config, gan, normal, workers
        self._encoder: EncoderTraining | None = None
        self.images = 0
        self.total_images = gan.total_images + config.schedule.encoder_images

    def step(self) -> StepReport:
        """One batch to the GAN, or to the encoder once the GAN is finished."""
        if self._gan.images < self._gan.total_images:
            report = self._gan.step()
        else:
            loss = self._start_encoder().step()
            report = StepReport(0, self._gan.generator.last_stage, 1.0, {"encoder": loss})
        self.images = self._shown()
        return replace(report, images=self.images)

    def _shown(self) -> int:
        """Images of both. What the GAN's last batch had too many does not count: the encoder would end too early."""
        gan = min(self._gan.images, self._gan.total_images)
        return gan + (self._encoder.images if self._encoder else 0)

    def _start_encoder(self) -> EncoderTraining:
        if self._encoder is None:
            self._encoder = EncoderTraining(self._config, self._gan, self._normal, self._workers)
        return self._encoder

    def samples(self, count: int, seed: int) -> npt.NDArray[np.float32]:
        """Of the generator."""
        return self._gan.samples(count, seed)

    def state(self) -> TrainingState:
        """Of both, as far as there is an encoder."""
        gan = self._gan.state()
        rest = {**gan.rest, "gan_images": self._gan.images, "images": self.images}
        if self._encoder is None:
            return replace(gan, rest=rest)
        own = self._encoder.state()
        return TrainingState(gan.networks | own.networks, gan.optimizer | own.optimizer, {**rest, **own.rest})

    def restore(self, state: TrainingState) -> None:
        """The inverse of `state`. Raises CheckpointError."""
        try:
            self._gan.restore(replace(state, rest={**state.rest, "images": state.rest["gan_images"]}))
            if "encoder" in state.rest:
                self._start_encoder().restore(state)
            self.images = self._shown()
        except (KeyError, ValueError, TypeError, RuntimeError, IndexError):
            raise CheckpointError("the checkpoint does not fit this configuration; start in a new folder") from None
