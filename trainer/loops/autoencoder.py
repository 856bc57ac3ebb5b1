"""The training of the methods without a search: encoder and decoder, and AnoVAEGAN's adversary."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from latentline.errors import DivergenceError
from trainer.config import TrainConfig
from trainer.data.crops import CropSampler
from trainer.loops.network_training import NetworkTraining
from trainer.loops.optimizer_step import OptimizerStep, autocast, learning_rate_at
from trainer.loops.training import StepReport, TileReconstructor
from trainer.loops.workers import ALONE, Workers
from trainer.losses.adversarial import discriminator_loss, r1_penalty
from trainer.losses.anovaegan import anovaegan_terms
from trainer.losses.elbo import elbo_terms
from trainer.losses.l2 import l2_terms
from trainer.losses.reconstruction import Reconstruction
from trainer.losses.ssim import ssim_terms
from trainer.methods import AnoVaeGan
from trainer.networks.autoencoder import build_autoencoder
from trainer.networks.discriminator import Discriminator
from trainer.networks.factory import build_discriminator
from trainer.networks.shared_norm import share_norms

# (tiles, their reconstruction, the method's settings) -> terms whose sum is the loss of encoder and decoder
TERMS: dict[str, Callable[[Tensor, Reconstruction, Any], dict[str, Tensor]]] = {
    "l2": l2_terms,
    "ssim": ssim_terms,
    "vae": elbo_terms,
    "anovaegan": anovaegan_terms,
}
ADAM_BETAS, ADVERSARY_BETAS = (0.9, 0.999), (0.0, 0.99)


class AutoencoderTraining(NetworkTraining):
    """Networks, optimisers and random states of one autoencoder; `step()` trains on one batch of normal tiles.

    As in GanTraining, everything random is drawn on the CPU, the same in all processes.
    """

    def __init__(self, config: TrainConfig, normal: CropSampler, workers: Workers = ALONE) -> None:
        schedule = config.schedule
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(schedule.seed)
            self.encoder, self.decoder = build_autoencoder(config)
            self.discriminator = build_discriminator(config) if config.method.has_discriminator else None
        for network in self._networks().values():
            network.to(workers.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
            if workers.count > 1:
                share_norms(network)
        self.images, self.total_images = 0, schedule.final_images
        self._steps = 0
        self._config, self._normal, self._workers = config, normal, workers
        self._batch = schedule.batch_per_resolution.get(config.network.resolution, schedule.batch)
        workers.check_batch(self._batch)
        self._terms = TERMS[getattr(config.method, "loss", config.method.kind)]
        weights = [*self.encoder.parameters(), *self.decoder.parameters()]
        precision = schedule.precision
        self._optimizer_steps = {
            "autoencoder": OptimizerStep(weights, ADAM_BETAS, precision, workers, schedule.weight_decay)
        }
        if self.discriminator is not None:
            adversary = OptimizerStep(self.discriminator.parameters(), ADVERSARY_BETAS, precision, workers)
            self._optimizer_steps["discriminator"] = adversary
        self._latents = torch.Generator().manual_seed(schedule.seed)
        self._crops = np.random.default_rng(schedule.seed)

    def step(self) -> StepReport:
        """One step of the adversary, where there is one, then one of encoder and decoder.

        Raises DivergenceError when a loss is not finite; the networks are then as before the step.
        """
        rate = learning_rate_at(self._config.schedule.learning_rate, self.images, self.total_images)
        x = self._workers.shard(self._normal.draw(self._batch, self._crops))
        x = x.contiguous(memory_format=torch.channels_last)
        changing = self._tensors_to_roll_back()
        before = [tensor.clone() for tensor in changing]
        try:
            reconstruction, metrics = self._reconstruct(x), {}
            if self.discriminator is not None:
                metrics = self._adversary_step(self.discriminator, x, reconstruction.image.detach(), rate)
            losses = self._autoencoder_step(x, reconstruction, rate)
        except FloatingPointError as error:
            torch._foreach_copy_(changing, before)
            raise DivergenceError(
                f"step {self._steps + 1} (after {self.images} images): {error}; the networks are as before this step; "
                "lower schedule.learning_rate, or train with schedule.precision float32"
            ) from None
        self.images += self._batch
        self._steps += 1
        if metrics:
            losses["discriminator"] = metrics.pop("discriminator")
        return StepReport(self.images, self._config.network.resolution.bit_length() - 3, 1.0, losses, metrics)

    def _reconstruct(self, x: Tensor) -> Reconstruction:
        mean = z_log_variance = log_variance = None
        with self._autocast():
            z = self.encoder(x)
        if isinstance(z, tuple):
            mean, z_log_variance = z[0].float(), z[1].float()
            noise = torch.randn(self._batch, mean.shape[1], generator=self._latents)
            z = mean + (z_log_variance / 2).exp() * self._workers.shard(noise)
        with self._autocast():
            image = self.decoder(z)
        if isinstance(image, tuple):
            image, log_variance = image[0], image[1].float()
        return Reconstruction(image.float(), log_variance, mean, z_log_variance)

    def _adversary_step(self, discriminator: Discriminator, x: Tensor, image: Tensor, rate: float) -> dict[str, float]:
        method = self._config.method
        assert isinstance(method, AnoVaeGan)
        penalised = method.r1 > 0 and self._steps % method.r1_every == 0
        x = x.detach().requires_grad_(penalised)
        with self._autocast(not penalised):  # the penalty, a derivative of a derivative, stays float32
            real = discriminator(x, record_stddev=True)[0].float()
        with self._autocast():
            generated = discriminator(image)[0].float()
        loss = objective = discriminator_loss(real, generated, None, gamma=1.0)
        if penalised:
            loss = loss + method.r1_every * method.r1 * r1_penalty(real, x)
        metrics = {"discriminator": objective, "real": real.sigmoid().mean(), "generated": generated.sigmoid().mean()}
        averaged = self._optimizer_steps["discriminator"].step(loss, rate, metrics)
        # each process recorded the mean over its own rows
        self._workers.average([discriminator.stddev_mean])
        return averaged

    def _autoencoder_step(self, x: Tensor, reconstruction: Reconstruction, rate: float) -> dict[str, float]:
        if self.discriminator is not None:
            self.discriminator.requires_grad_(False)
            with self._autocast():
                logit = self.discriminator(reconstruction.image)[0].float()
            reconstruction = replace(reconstruction, logit=logit)
            self.discriminator.requires_grad_(True)
        terms = self._terms(x, reconstruction, self._config.method)
        loss = torch.stack(list(terms.values())).sum()
        metrics = {**terms, "contrast": contrast(x, reconstruction.image.detach())}
        return self._optimizer_steps["autoencoder"].step(loss, rate, metrics)

    def _tensors_to_roll_back(self) -> list[Tensor]:
        """What a step has changed already when its last loss is not finite: statistics of the norms, all of D."""
        tensors = [*self.encoder.buffers(), *self.decoder.buffers()]
        return tensors if self.discriminator is None else [*tensors, *self.discriminator.state_dict().values()]

    def _autocast(self, enabled: bool = True) -> AbstractContextManager[object]:
        return autocast(self._config.schedule.precision if enabled else "float32", self._workers.device)

    def samples(self, count: int, seed: int) -> npt.NDArray[np.float32]:
        """G(E(x)) of the `count` normal tiles x that the seed draws, [count, C, R, R]."""
        return self.reconstructor()(self._normal.draw(count, np.random.default_rng(seed)).numpy())

    def reconstructor(self) -> TileReconstructor:
        """Encoder and decoder in eval mode; of a VAE the means of both."""
        progress = min(1.0, self.images / self.total_images)
        return TileReconstructor(self._mean_image, self._workers.device, progress)

    def _mean_image(self, x: Tensor) -> Tensor:
        self._set_training(False)
        z = self.encoder(x)
        image: Tensor | tuple[Tensor, Tensor] = self.decoder(z[0] if isinstance(z, tuple) else z)
        self._set_training(True)
        return image[0] if isinstance(image, tuple) else image

    def _networks(self) -> dict[str, nn.Module]:
        """The networks by their names in a checkpoint; a package calls the decoder generator, too."""
        networks: dict[str, nn.Module] = {"generator": self.decoder, "encoder": self.encoder}
        return networks if self.discriminator is None else {**networks, "discriminator": self.discriminator}

    def _set_training(self, on: bool) -> None:
        for network in self._networks().values():
            network.train(on)


def contrast(x: Tensor, image: Tensor) -> Tensor:
    """Mean standard deviation within a reconstruction over that within a tile, a scalar; near 0: flat images."""
    return _mean_deviation(image) / _mean_deviation(x).clamp(min=1e-6)


def _mean_deviation(images: Tensor) -> Tensor:
    # several times as fast as Tensor.std
    flat = images.flatten(1)
    deviations: Tensor = torch.linalg.vector_norm(flat - flat.mean(1, keepdim=True), dim=1)
    return deviations.mean()
