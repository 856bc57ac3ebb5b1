"""An encoder on the finished, frozen generator: where the search starts instead of at a random latent."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from latentline.errors import TrainingError
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

    def step(self) -> StepReport:
        """Show one batch. Raises TrainingError when the loss is not finite; nothing has changed then."""
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
            losses = self._descent.step(loss, rate, {"encoder": loss})
        except FloatingPointError as error:
            raise TrainingError(f"encoder, after {self.images} images: {error}") from None
        self.images += 2 * self._half
        return StepReport(self.images, self._generator.last_stage, 1.0, losses)

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
