"""An encoder on the finished generator: it gives the latent from which a search starts.

The generator is frozen, as in f-AnoGAN, or fine-tuned on normal tiles along with the encoder: the game leaves many
normal tiles outside the generator's range, and what it cannot make looks like a defect.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from latentline.errors import DivergenceError
from trainer.config import TrainConfig
from trainer.data.crops import CropSampler
from trainer.loops.gan import GanTraining
from trainer.loops.optimizer_step import OptimizerStep, autocast
from trainer.loops.training import StepReport, TileReconstructor, TrainingState, tensors_under
from trainer.loops.workers import Workers
from trainer.losses.encoder import izi_f_loss
from trainer.methods import GanMethod
from trainer.networks.factory import build_encoder
from trainer.networks.frozen import freeze

ADAM_BETAS = (0.9, 0.99)


class EncoderTraining:
    """Trains the encoder on `encoder_images` tiles.

    With a frozen generator half of the tiles are generated: they fill the gaps between few images. The generator to
    fine-tune is the GAN's own running average.
    """

    def __init__(self, config: TrainConfig, gan: GanTraining, normal: CropSampler, workers: Workers) -> None:
        schedule = config.schedule
        assert isinstance(config.method, GanMethod)
        self._kappa, finetune_generator = config.method.kappa, config.method.finetune_generator
        self._pixels = config.method.encoder_loss
        self._generator, self._discriminator = freeze(gan.average, gan.discriminator)
        if finetune_generator:
            self._generator = gan.average.requires_grad_(True)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(schedule.seed)
            encoder = build_encoder(config)
        self.encoder = encoder.to(workers.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.images, self.total_images = 0, schedule.encoder_images
        self._config, self._normal, self._workers = config, normal, workers
        batch = max(2, schedule.batch_per_resolution.get(config.network.resolution, schedule.batch))
        self._generated = 0 if finetune_generator else batch // 2
        self._real = batch - self._generated
        trained = [self.encoder, self._generator] if finetune_generator else [self.encoder]
        parameters = [p for network in trained for p in network.parameters()]
        self._optimizer_step = OptimizerStep(parameters, ADAM_BETAS, schedule.precision, workers)
        self._latents = torch.Generator().manual_seed(schedule.seed + 1)
        self._crops = np.random.default_rng(schedule.seed + 1)

    def step(self) -> StepReport:
        """Train on one batch. Raises DivergenceError when the loss is not finite; nothing has changed then."""
        x = self._draw_tiles()
        with autocast(self._config.schedule.precision, self._workers.device):
            reconstruction = self._generator(self.encoder(x))
            features = self._features(x, reconstruction) if self._kappa else None
        loss = izi_f_loss(x, reconstruction.float(), features, self._kappa, self._pixels)
        left = 1 - self.images / self.total_images
        rate = self._config.schedule.encoder_learning_rate * min(1.0, 2 * left + 0.02)
        try:
            losses = self._optimizer_step.step(loss, rate, {"encoder": loss})
        except FloatingPointError as error:
            raise DivergenceError(f"encoder, after {self.images} images: {error}") from None
        self.images += self._real + self._generated
        return StepReport(self.images, self._generator.last_stage, 1.0, losses)

    def _features(self, x: Tensor, reconstruction: Tensor) -> tuple[Tensor, Tensor]:
        """f(x), without a gradient, and f(G(E(x)))."""
        with torch.no_grad():
            fx = self._discriminator(x)[1].float()
        return fx, self._discriminator(reconstruction)[1].float()

    def _draw_tiles(self) -> Tensor:
        x = self._normal.draw(self._real, self._crops).to(self._workers.device)
        if self._generated:
            z = torch.randn(self._generated, self._config.network.latent_size, generator=self._latents)
            with torch.no_grad():
                x = torch.cat([x, self._generator(z.to(self._workers.device))])
        return self._workers.shard(x).contiguous(memory_format=torch.channels_last)

    def reconstructor(self) -> TileReconstructor | None:
        """G(E(x)); None before the first step."""
        if not self.images:
            return None
        progress = min(1.0, self.images / self.total_images)
        return TileReconstructor(lambda x: self._generator(self.encoder(x)), self._workers.device, progress)

    def state(self) -> TrainingState:
        """The finished encoder is among the networks, an unfinished one among what only a resume needs."""
        weights = {f"encoder.{k}": v.contiguous().cpu() for k, v in self.encoder.state_dict().items()}
        finished = self.images >= self.total_images
        optimizer = {"encoder_latents": self._latents.get_state(), **self._optimizer_step.state("encoder_adam")}
        if not finished:
            optimizer.update({f"unfinished.{k}": v for k, v in weights.items()})
        metadata = {"images": self.images, "crops": self._crops.bit_generator.state}
        return TrainingState(weights if finished else {}, optimizer, {"encoder": metadata})

    def restore(self, state: TrainingState) -> None:
        """The inverse of `state`. Raises KeyError, ValueError or RuntimeError."""
        weights = tensors_under(state.networks, "encoder") or tensors_under(state.optimizer, "unfinished.encoder")
        self.encoder.load_state_dict(weights)
        self._optimizer_step.restore(state.optimizer, "encoder_adam")
        self._latents.set_state(state.optimizer["encoder_latents"])
        self.images = int(state.metadata["encoder"]["images"])
        self._crops.bit_generator.state = state.metadata["encoder"]["crops"]
