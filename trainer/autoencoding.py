"""The training of the methods without a search: encoder and decoder, and AnoVAEGAN's adversary."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from latentline.errors import CheckpointError, TrainingError
from trainer.checkpoint import part
from trainer.config import TrainConfig
from trainer.data.crops import CropSampler
from trainer.growth import learning_rate_at
from trainer.losses.adversarial import discriminator_loss, r1_penalty
from trainer.losses.anovaegan import anovaegan_terms
from trainer.losses.elbo import elbo_terms
from trainer.losses.l2 import l2_terms
from trainer.losses.reconstruction import Reconstruction
from trainer.losses.ssim import ssim_terms
from trainer.methods import AnoVaeGan
from trainer.networks.autoencoder import build_autoencoder
from trainer.networks.discriminator import Discriminator
from trainer.optimizer_state import optimizer_tensors, restore_optimizers
from trainer.training import StepReport, TrainingState

# (tiles, what became of them, the method's settings) -> terms whose sum is the loss of encoder and decoder
TERMS: dict[str, Callable[[Tensor, Reconstruction, Any], dict[str, Tensor]]] = {
    "l2": l2_terms,
    "ssim": ssim_terms,
    "vae": elbo_terms,
    "anovaegan": anovaegan_terms,
}
ADVERSARY_BETAS = (0.0, 0.99)
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class AutoencoderTraining:
    """Networks, optimisers and random states of one run; `step()` shows one batch of normal tiles.

    Adversary and autoencoder step at once, each against the other as it was, so that a step that fails changes neither.
    """

    def __init__(self, config: TrainConfig, normal: CropSampler, device: str = "cpu") -> None:
        schedule, network = config.schedule, config.network
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(schedule.seed)
            self.encoder, self.decoder = build_autoencoder(config)
            self.discriminator = None
            if config.method.has_discriminator:
                channels, maps = config.preprocessing.channels, (network.fmap_base, network.fmap_max)
                self.discriminator = Discriminator(network.resolution, channels, *maps)
        for module in self._modules().values():
            module.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.images, self.total_images = 0, schedule.final_images
        self._steps = 0
        self._config, self._normal, self._device = config, normal, torch.device(device)
        self._batch = schedule.batches.get(network.resolution, schedule.batch)
        self._terms = TERMS[getattr(config.method, "loss", config.method.kind)]
        coder = [*self.encoder.parameters(), *self.decoder.parameters()]
        adam = torch.optim.Adam(coder, schedule.learning_rate, weight_decay=schedule.weight_decay)
        self._optimizers: dict[str, torch.optim.Optimizer] = {"autoencoder": adam}
        if self.discriminator is not None:
            self._optimizers["discriminator"] = torch.optim.Adam(
                self.discriminator.parameters(), schedule.learning_rate, betas=ADVERSARY_BETAS
            )
        self._scaler = torch.amp.GradScaler(self._device.type, enabled=schedule.precision == "float16")
        self._latents = torch.Generator().manual_seed(schedule.seed)
        self._crops = np.random.default_rng(schedule.seed)

    # ------------------------------------------------------------------ a step

    def step(self) -> StepReport:
        """One batch, one step of every optimiser. Raises TrainingError; networks are then as before."""
        rate = learning_rate_at(self.images, self._config.schedule, self.total_images)
        for optimizer in self._optimizers.values():
            optimizer.param_groups[0]["lr"] = rate
        x = self._normal.draw(self._batch, self._crops)
        x = x.to(self._device).contiguous(memory_format=torch.channels_last)
        with self._statistics_kept_on_error():
            loss, numbers = self._loss(x)
            # one transfer, and so one wait for a GPU, a step
            values = dict(zip(numbers, torch.stack(list(numbers.values())).tolist(), strict=True))
            bad = [name for name, value in values.items() if not math.isfinite(value)]
            if bad:
                raise self._failed(f"{bad[0]} is {values[bad[0]]}")
            self._descend(loss)
        self.images += self._batch
        self._steps += 1
        verdicts = {name[2:]: values.pop(name) for name in list(values) if name.startswith("D ")}
        return StepReport(self.images, self._config.network.resolution.bit_length() - 3, 1.0, values, verdicts)

    def _loss(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of all networks together, and every number of the report, detached scalars."""
        seen = self._reconstruct(x)
        numbers: dict[str, Tensor] = {}
        adversary = torch.zeros((), device=x.device)
        if self.discriminator is not None:
            adversary, logit, numbers = self._adversary_loss(self.discriminator, x, seen.image)
            seen = Reconstruction(seen.image, seen.log_variance, seen.mean, seen.spread, logit)
        terms = self._terms(x, seen, self._config.method)
        loss = torch.stack(list(terms.values())).sum() + adversary
        numbers.update({name: term.detach() for name, term in terms.items()})
        return loss, {**numbers, "contrast": contrast(x, seen.image.detach())}

    def _reconstruct(self, x: Tensor) -> Reconstruction:
        with self._autocast():
            code = self.encoder(x)
        mean = spread = None
        if isinstance(code, tuple):
            mean, spread = code[0].float(), code[1].float()
            noise = torch.randn(mean.shape, generator=self._latents).to(mean.device)
            code = mean + (spread / 2).exp() * noise
        with self._autocast():
            image = self.decoder(code)
        log_variance = None
        if isinstance(image, tuple):
            image, log_variance = image[0], image[1].float()
        return Reconstruction(image.float(), log_variance, mean, spread)

    def _adversary_loss(
        self, discriminator: Discriminator, x: Tensor, image: Tensor
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """D's own loss; the logit of the image with D frozen; numbers for the report."""
        method = self._config.method
        assert isinstance(method, AnoVaeGan)
        penalised = method.r1 > 0 and self._steps % method.r1_every == 0
        x = x.clone().requires_grad_(penalised)
        with self._autocast():
            real = discriminator(x, record_stddev=True)[0].float()
            generated = discriminator(image.detach())[0].float()
        loss = discriminator_loss(real, generated, None, gamma=1.0)
        numbers = {"discriminator": loss.detach()}
        if penalised:
            loss = loss + method.r1_every * method.r1 * r1_penalty(real, x)
        discriminator.requires_grad_(False)
        with self._autocast():
            logit = discriminator(image)[0].float()
        discriminator.requires_grad_(True)
        verdicts = {"D real": real.detach().sigmoid().mean(), "D generated": generated.detach().sigmoid().mean()}
        return loss, logit, {**numbers, **verdicts}

    def _descend(self, loss: Tensor) -> None:
        for optimizer in self._optimizers.values():
            optimizer.zero_grad(set_to_none=True)
        self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        gradients = [p.grad for m in self._modules().values() for p in m.parameters() if p.grad is not None]
        # float16: the scaler looks itself, and leaves out a step that overflows
        if not self._scaler.is_enabled() and not torch.nn.utils.get_total_norm(gradients).isfinite():
            raise self._failed("a gradient is not finite")
        for optimizer in self._optimizers.values():
            self._scaler.step(optimizer)
        self._scaler.update()

    def _autocast(self) -> torch.autocast:
        precision = PRECISIONS[self._config.schedule.precision]
        return torch.autocast(self._device.type, precision, enabled=precision != torch.float32)

    @contextmanager
    def _statistics_kept_on_error(self) -> Iterator[None]:
        # a forward pass alone moves the running means of the norms
        buffers = [b for module in self._modules().values() for b in module.buffers()]
        before = [b.clone() for b in buffers]
        try:
            yield
        except TrainingError:
            for buffer, value in zip(buffers, before, strict=True):
                buffer.copy_(value)
            raise

    def _failed(self, what: str) -> TrainingError:
        return TrainingError(
            f"step {self._steps + 1} (after {self.images} images): {what}; the networks are as before it; "
            "lower schedule.learning_rate, or train with schedule.precision float32"
        )

    # ------------------------------------------------------------------ what it shows and keeps

    def samples(self, count: int, seed: int) -> npt.NDArray[np.float32]:
        """Tiles and what the networks make of them in turn: tile, reconstruction, tile, … [count, C, R, R]."""
        x = self._normal.draw((count + 1) // 2, np.random.default_rng(seed)).to(self._device)
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
        networks = {f"{n}.{k}": v.contiguous() for n, m in self._modules().items() for k, v in m.state_dict().items()}
        optimizer = {"latents": self._latents.get_state(), **optimizer_tensors(self._optimizers)}
        rest = {
            "images": self.images,
            "steps": self._steps,
            "crops": self._crops.bit_generator.state,
            "scaler": self._scaler.state_dict(),
        }
        return TrainingState(networks, optimizer, rest)

    def restore(self, state: TrainingState) -> None:
        """Take up the state of a checkpoint of the same configuration. Raises CheckpointError."""
        try:
            for name, module in self._modules().items():
                module.load_state_dict(part(state.networks, name))
            restore_optimizers(self._optimizers, state.optimizer)
            self._latents.set_state(state.optimizer["latents"])
            self.images, self._steps = int(state.rest["images"]), int(state.rest["steps"])
            self._crops.bit_generator.state = state.rest["crops"]
            self._scaler.load_state_dict(state.rest["scaler"])
        except (KeyError, ValueError, TypeError, RuntimeError):
            raise CheckpointError("the checkpoint does not fit this configuration; start in a new folder") from None

    def _modules(self) -> dict[str, nn.Module]:
        """By their names in the checkpoint: the decoder is the package's generator."""
        modules: dict[str, nn.Module] = {"generator": self.decoder, "encoder": self.encoder}
        return modules if self.discriminator is None else {**modules, "discriminator": self.discriminator}

    def _train(self, on: bool) -> None:
        for module in self._modules().values():
            module.train(on)


def contrast(x: Tensor, image: Tensor) -> Tensor:
    """Standard deviation within a reconstruction over that within its tile, of the whole batch; near 0: a constant."""
    return image.flatten(1).std(1).mean() / x.flatten(1).std(1).mean().clamp(min=1e-6)
