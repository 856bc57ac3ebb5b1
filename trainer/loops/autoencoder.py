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

from latentline.errors import CheckpointError, TrainingError
from trainer.config import TrainConfig
from trainer.data.crops import CropSampler
from trainer.loops.growth import falling
from trainer.loops.optimizer_step import OptimizerStep, mixed
from trainer.loops.training import StepReport, TrainingState, part
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

# (tiles, what became of them, the method's settings) -> terms whose sum is the loss of encoder and decoder
TERMS: dict[str, Callable[[Tensor, Reconstruction, Any], dict[str, Tensor]]] = {
    "l2": l2_terms,
    "ssim": ssim_terms,
    "vae": elbo_terms,
    "anovaegan": anovaegan_terms,
}
ADAM_BETAS, ADVERSARY_BETAS = (0.9, 0.999), (0.0, 0.99)


class AutoencoderTraining:
    """Networks, optimisers and random states of one run; `step()` shows one batch of normal tiles.

    As in GanTraining, all that is random is drawn on the CPU, for all processes alike.
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
        self._batch = schedule.batches.get(config.network.resolution, schedule.batch)
        workers.check_batch(self._batch)
        self._terms = TERMS[getattr(config.method, "loss", config.method.kind)]
        coder = [*self.encoder.parameters(), *self.decoder.parameters()]
        self._optimizer_steps = {
            "autoencoder": OptimizerStep(coder, ADAM_BETAS, schedule.precision, workers, schedule.weight_decay)
        }
        if self.discriminator is not None:
            weights = self.discriminator.parameters()
            self._optimizer_steps["discriminator"] = OptimizerStep(
                weights, ADVERSARY_BETAS, schedule.precision, workers
            )
        self._latents = torch.Generator().manual_seed(schedule.seed)
        self._crops = np.random.default_rng(schedule.seed)

    # ------------------------------------------------------------------ a step

    def step(self) -> StepReport:
        """One batch: a step of the adversary where there is one, then of encoder and decoder.

        Raises TrainingError when a loss is not finite; the networks are then as before the step.
        """
        rate = falling(self._config.schedule.learning_rate, self.images, self.total_images)
        x = self._workers.share(self._normal.draw(self._batch, self._crops))
        x = x.contiguous(memory_format=torch.channels_last)
        kept = self._changed_early()
        before = [tensor.clone() for tensor in kept]
        try:
            seen, verdicts = self._reconstruct(x), {}
            if self.discriminator is not None:
                verdicts = self._adversary_step(self.discriminator, x, seen.image.detach(), rate)
            losses = self._coder_step(x, seen, rate)
        except FloatingPointError as error:
            torch._foreach_copy_(kept, before)
            raise TrainingError(
                f"step {self._steps + 1} (after {self.images} images): {error}; the networks are as before it; "
                "lower schedule.learning_rate, or train with schedule.precision float32"
            ) from None
        self.images += self._batch
        self._steps += 1
        if verdicts:
            losses["discriminator"] = verdicts.pop("discriminator")
        return StepReport(self.images, self._config.network.resolution.bit_length() - 3, 1.0, losses, verdicts)

    def _reconstruct(self, x: Tensor) -> Reconstruction:
        mean = spread = log_variance = None
        with self._mixed():
            code = self.encoder(x)
        if isinstance(code, tuple):
            mean, spread = code[0].float(), code[1].float()
            noise = torch.randn(self._batch, mean.shape[1], generator=self._latents)
            code = mean + (spread / 2).exp() * self._workers.share(noise)
        with self._mixed():
            image = self.decoder(code)
        if isinstance(image, tuple):
            image, log_variance = image[0], image[1].float()
        return Reconstruction(image.float(), log_variance, mean, spread)

    def _adversary_step(self, discriminator: Discriminator, x: Tensor, image: Tensor, rate: float) -> dict[str, float]:
        method = self._config.method
        assert isinstance(method, AnoVaeGan)
        penalised = method.r1 > 0 and self._steps % method.r1_every == 0
        x = x.detach().requires_grad_(penalised)
        # the penalty, a derivative of a derivative, stays float32
        with self._mixed(not penalised):
            real = discriminator(x, record_stddev=True)[0].float()
        with self._mixed():
            generated = discriminator(image)[0].float()
        loss = shown = discriminator_loss(real, generated, None, gamma=1.0)
        if penalised:
            loss = loss + method.r1_every * method.r1 * r1_penalty(real, x)
        figures = {"discriminator": shown, "real": real.sigmoid().mean(), "generated": generated.sigmoid().mean()}
        values = self._optimizer_steps["discriminator"].step(loss, rate, figures)
        # each process recorded the mean of its own rows
        self._workers.average([discriminator.stddev_mean])
        return values

    def _coder_step(self, x: Tensor, seen: Reconstruction, rate: float) -> dict[str, float]:
        if self.discriminator is not None:
            self.discriminator.requires_grad_(False)
            with self._mixed():
                seen = replace(seen, logit=self.discriminator(seen.image)[0].float())
            self.discriminator.requires_grad_(True)
        terms = self._terms(x, seen, self._config.method)
        loss = torch.stack(list(terms.values())).sum()
        return self._optimizer_steps["autoencoder"].step(
            loss, rate, {**terms, "contrast": contrast(x, seen.image.detach())}
        )

    def _changed_early(self) -> list[Tensor]:
        """What a step has changed when its last loss turns out not finite: statistics of the norms, all of D."""
        tensors = [*self.encoder.buffers(), *self.decoder.buffers()]
        return tensors if self.discriminator is None else [*tensors, *self.discriminator.state_dict().values()]

    def _mixed(self, wanted: bool = True) -> AbstractContextManager[object]:
        return mixed(self._config.schedule.precision if wanted else "float32", self._workers.device)

    # ------------------------------------------------------------------ what it shows and keeps

    def samples(self, count: int, seed: int) -> npt.NDArray[np.float32]:
        """Tiles and what the networks make of them in turn: tile, reconstruction, tile, … [count, C, R, R]."""
        x = self._normal.draw((count + 1) // 2, np.random.default_rng(seed)).to(self._workers.device)
        self._train(False)
        with torch.no_grad():
            code = self.encoder(x)
            image = self.decoder(code[0] if isinstance(code, tuple) else code)
        self._train(True)
        image = image[0] if isinstance(image, tuple) else image
        pairs: npt.NDArray[np.float32] = torch.stack([x, image], dim=1).flatten(0, 1)[:count].cpu().numpy()
        return pairs

    def state(self) -> TrainingState:
        """For a checkpoint."""
        parts = self._networks().items()
        networks = {f"{n}.{k}": v.contiguous().cpu() for n, m in parts for k, v in m.state_dict().items()}
        optimizer = {"latents": self._latents.get_state()}
        for name, optimizer_step in self._optimizer_steps.items():
            optimizer |= optimizer_step.state(name)
        rest = {"images": self.images, "steps": self._steps, "crops": self._crops.bit_generator.state}
        return TrainingState(networks, optimizer, rest)

    def restore(self, state: TrainingState) -> None:
        """Take up the state of a checkpoint of the same configuration. Raises CheckpointError."""
        try:
            for name, network in self._networks().items():
                network.load_state_dict(part(state.networks, name))
            for name, optimizer_step in self._optimizer_steps.items():
                optimizer_step.restore(state.optimizer, name)
            self._latents.set_state(state.optimizer["latents"])
            self.images, self._steps = int(state.rest["images"]), int(state.rest["steps"])
            self._crops.bit_generator.state = state.rest["crops"]
        except (KeyError, ValueError, TypeError, RuntimeError, IndexError):
            raise CheckpointError("the checkpoint does not fit this configuration; start in a new folder") from None

    def _networks(self) -> dict[str, nn.Module]:
        """By their names in the checkpoint: the decoder is the package's generator."""
        networks: dict[str, nn.Module] = {"generator": self.decoder, "encoder": self.encoder}
        return networks if self.discriminator is None else {**networks, "discriminator": self.discriminator}

    def _train(self, on: bool) -> None:
        for network in self._networks().values():
            network.train(on)


def contrast(x: Tensor, image: Tensor) -> Tensor:
    """Standard deviation within a reconstruction over that within its tile, of the whole batch; near 0: a constant."""
    return _deviation(image) / _deviation(x).clamp(min=1e-6)


def _deviation(images: Tensor) -> Tensor:
    # several times as fast as Tensor.std
    flat = images.flatten(1)
    deviations: Tensor = torch.linalg.vector_norm(flat - flat.mean(1, keepdim=True), dim=1)
    return deviations.mean()
