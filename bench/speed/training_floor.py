"""The floor of a training step: the forward and backward passes of the same networks, and nothing else.

The calls are those of a training step, in the same order, with the same losses, batch and penalty. Left out are the
data (tiles and latents are random tensors, drawn once), the optimiser, the running average, the checks for values that
are not finite, and the logged figures.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from trainer.config import TrainConfig
from trainer.loops.autoencoder import TERMS, AutoencoderTraining
from trainer.loops.gan import GanTraining
from trainer.losses.adversarial import discriminator_loss, generator_loss, r1_penalty
from trainer.losses.patch_head import patch_head_loss
from trainer.losses.reconstruction import Reconstruction
from trainer.methods import GanMethod, NoisyAnoGan


def floor_of(training: GanTraining | AutoencoderTraining, config: TrainConfig) -> GanFloor | AutoencoderFloor:
    """The floor on copies of the training's networks at full resolution.

    Raises ValueError for AnoVAEGAN, whose discriminator has no floor here.
    """
    if isinstance(training, GanTraining):
        return GanFloor(training, config)
    return AutoencoderFloor(training, config)


class GanFloor:
    """One pass of the discriminator and one of the generator; the penalty as often as in training."""

    def __init__(self, training: GanTraining, config: TrainConfig) -> None:
        assert isinstance(config.method, GanMethod)
        self._generator, self._discriminator = copy.deepcopy(training.generator), copy.deepcopy(training.discriminator)
        self._method = config.method
        noisy = config.method if isinstance(config.method, NoisyAnoGan) else None
        self._noisy = noisy is not None
        self._gamma, self._patch_weight = (noisy.gamma, noisy.patch_head) if noisy else (1.0, 0.0)
        size, batch = config.network.resolution, batch_of(config)
        self._z = torch.randn(batch, config.network.latent_size)
        self._real, self._abnormal = (random_tiles(batch, config) for _ in range(2))
        self._masks = torch.rand(batch, 1, size, size) < 0.1
        self._known = torch.ones(batch, dtype=torch.bool)
        self._steps = 0

    def step(self) -> None:
        """Forward and backward passes of both networks."""
        method, penalised = self._method, self._method.r1 > 0 and self._steps % self._method.r1_every == 0
        generated = self._generator(self._z)
        seen = generated.detach()
        real = self._real.detach().requires_grad_(penalised)
        patch_head = self._patch_weight > 0
        real_logit, _, normal_patches = self._discriminator.outputs(real, record_stddev=True, patch_head=patch_head)
        generated_logit = self._discriminator(seen)[0]
        abnormal_logit = patches = None
        if self._noisy:
            abnormal_logit, _, patches = self._discriminator.outputs(self._abnormal, patch_head=patch_head)
        loss = discriminator_loss(real_logit, generated_logit, abnormal_logit, self._gamma)
        if normal_patches is not None and patches is not None:
            loss = loss + self._patch_weight * self._patch_loss(torch.cat([normal_patches, patches]))
        if penalised:
            loss = loss + self._gamma * method.r1_every * method.r1 * r1_penalty(real_logit, real)
        backward(loss, self._discriminator)
        self._discriminator.requires_grad_(False)
        backward(generator_loss(self._discriminator(generated)[0], self._gamma), self._generator)
        self._discriminator.requires_grad_(True)
        self._steps += 1

    def _patch_loss(self, patches: Tensor) -> Tensor:
        masks, known = torch.cat([torch.zeros_like(self._masks), self._masks]), torch.cat([self._known, self._known])
        return patch_head_loss(patches, masks, known)


class AutoencoderFloor:
    """One pass of encoder and decoder."""

    def __init__(self, training: AutoencoderTraining, config: TrainConfig) -> None:
        if training.discriminator is not None:
            raise ValueError("AnoVAEGAN has no floor here: its discriminator is not measured")
        self._encoder, self._decoder = copy.deepcopy(training.encoder), copy.deepcopy(training.decoder)
        self._method = config.method
        self._terms = TERMS[getattr(config.method, "loss", config.method.kind)]
        self._x = random_tiles(batch_of(config), config)
        self._noise = torch.randn(len(self._x), config.network.latent_size)

    def step(self) -> None:
        """Forward and backward passes."""
        code = self._encoder(self._x)
        mean, z_log_variance = code if isinstance(code, tuple) else (None, None)
        image = self._decoder(code if mean is None else mean + (z_log_variance / 2).exp() * self._noise)
        image, log_variance = image if isinstance(image, tuple) else (image, None)
        terms = self._terms(self._x, Reconstruction(image, log_variance, mean, z_log_variance), self._method)
        backward(torch.stack(list(terms.values())).sum(), self._encoder, self._decoder)


def backward(loss: Tensor, *networks: nn.Module) -> None:
    """Gradients of `loss`, in place of older ones."""
    for network in networks:
        network.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)


def batch_of(config: TrainConfig) -> int:
    """Images in a step at full resolution."""
    return config.schedule.batch_per_resolution.get(config.network.resolution, config.schedule.batch)


def random_tiles(count: int, config: TrainConfig) -> Tensor:
    """[count, C, R, R] in [-1, 1], with the memory layout of training tiles."""
    size, channels = config.network.resolution, config.preprocessing.channels
    return (torch.rand(count, channels, size, size) * 2 - 1).contiguous(memory_format=torch.channels_last)
