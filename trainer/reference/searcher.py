"""The reference search of every method as a `Searcher`: `evaluate` runs it, without an export."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from latentline.errors import PackageError
from latentline.search.first_look import FirstLook, look_frame
from latentline.search.searcher import SearchResult
from latentline.vision.preprocessing import to_model_range
from trainer.checkpoint import Checkpoint
from trainer.data.settings import Flip
from trainer.networks.discriminator import Discriminator
from trainer.networks.flip_average import average_over_flips
from trainer.networks.frozen import freeze
from trainer.networks.generator import Generator
from trainer.reference.search import reference_search, search_loss
from trainer.settings.search import SearchConfig

Distribution = tuple[Tensor, Tensor | None]  # mean, and log variance where a network gives one


class ReferenceSearcher:
    """Algorithm 1 in PyTorch for a GAN, with this number of `iterations`; else encoder and decoder."""

    name = "reference"

    def __init__(self, checkpoint: Checkpoint, search: SearchConfig, iterations: int) -> None:
        self._generator, self._discriminator = checkpoint.generator, checkpoint.discriminator
        self._gan: tuple[Generator, Discriminator] | None = None
        if isinstance(checkpoint.generator, Generator):
            assert checkpoint.discriminator is not None
            self._gan = freeze(checkpoint.generator, checkpoint.discriminator)
            self._generator, self._discriminator = self._gan
        self._encoder = checkpoint.encoder
        self._search, self._iterations = search, iterations
        self._flips = checkpoint.config.verdict_flips

    def search(self, tiles: npt.NDArray[np.uint8]) -> SearchResult:
        """Search all tiles, uint8 [N, H, W, C], from the encoder's z or, without an encoder, from one seeded z."""
        s = self._search
        x = torch.from_numpy(to_model_range(tiles))
        with torch.no_grad():
            z, z_log_variance = self._first_latents(x)
        if self._gan is not None:
            z = reference_search(*self._gan, x, z, self._iterations, s.learning_rate, s.gamma, s.lam)
        with torch.no_grad():
            reconstruction, log_variance = _distribution(self._generator, z)
            found = {"z": z, "reconstruction": reconstruction}
            if self._discriminator is not None:
                found |= _discriminator_outputs(self._discriminator, x, reconstruction, self._flips)
            if self._gan is not None:
                found["loss"] = search_loss(*self._gan, z, x, self._gan[1](x)[1], s.gamma, s.lam)
            if z_log_variance is not None:
                found["kl"] = 0.5 * (z_log_variance.exp() + z.square() - 1 - z_log_variance).sum(1)
            if log_variance is not None:
                assert z_log_variance is not None
                found["negative_log_likelihood"] = self._negative_log_likelihood(x, z, z_log_variance)
        return SearchResult(**{name: tensor.numpy() for name, tensor in found.items()})

    def look(self, prepared: npt.NDArray[np.uint8]) -> FirstLook:
        """As `LookingSearcher.look`."""
        if self._discriminator is None:
            raise PackageError("this model has no discriminator for a first look; search all tiles")
        frame = look_frame(prepared, self._discriminator.resolution)
        with torch.no_grad():
            outputs = self._discriminator.look(torch.from_numpy(to_model_range(frame[None])))
        return FirstLook(*(output[0].numpy() for output in outputs))

    def close(self) -> None:
        """Nothing to release."""

    def _first_latents(self, x: Tensor) -> Distribution:
        if self._encoder is not None:
            return _distribution(self._encoder, x)
        return initial_latent(self._search.seed, len(x), self._generator.latent_size), None

    def _negative_log_likelihood(self, x: Tensor, mean: Tensor, z_log_variance: Tensor) -> Tensor:
        """−log p(x | z) of each value, [N, C, R, R], averaged over samples of z; without samples, at the mean of z."""
        deviation = (0.5 * z_log_variance).exp()
        noise = torch.zeros(1, mean.shape[1])
        if self._search.samples:
            noise = sample_noise(self._search.seed, self._search.samples, mean.shape[1])
        total = torch.zeros_like(x)
        for row in noise:
            image, log_variance = _distribution(self._generator, mean + deviation * row)
            assert log_variance is not None
            total += 0.5 * ((x - image).square() / log_variance.exp() + log_variance + math.log(2 * math.pi))
        return total / len(noise)


def initial_latent(seed: int, count: int, latent_size: int) -> Tensor:
    """The first z: one draw from N(0, 1), the same for every tile, float32 [count, latent_size]."""
    first = np.random.default_rng(seed).standard_normal(latent_size).astype(np.float32)
    return torch.from_numpy(np.repeat(first[None], count, axis=0))


def sample_noise(seed: int, samples: int, latent_size: int) -> Tensor:
    """The noise for a VAE's samples of z, the same for every tile, float32 [samples, latent_size]."""
    return torch.from_numpy(np.random.default_rng(seed).standard_normal((samples, latent_size)).astype(np.float32))


def _discriminator_outputs(
    discriminator: Discriminator, x: Tensor, reconstruction: Tensor, flips: Sequence[Flip]
) -> dict[str, Tensor]:
    """The logits of tiles and reconstructions, their feature residual, and the patch logits of the tiles."""
    logit_frame, fx, *patch_logits = average_over_flips(discriminator.all_outputs, x, flips)
    logit, features, *_ = average_over_flips(discriminator.all_outputs, reconstruction, flips)
    feature_residual = (fx - features).abs().flatten(1).sum(1)
    found = {"feature_residual": feature_residual, "logit_reconstruction": logit, "logit_frame": logit_frame}
    return {**found, "patch_logits": patch_logits[0]} if patch_logits else found


def _distribution(network: nn.Module, value: Tensor) -> Distribution:
    output = network(value)
    return output if isinstance(output, tuple) else (output, None)
