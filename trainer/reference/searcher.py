"""The reference search as a `Searcher`: what `evaluate` runs before anything is exported, for every method."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from latentline.search.searcher import SearchResult
from latentline.vision.preprocessing import to_model_range
from trainer.checkpoint import Checkpoint
from trainer.config import SearchConfig
from trainer.data.settings import Flip
from trainer.networks.discriminator import Discriminator
from trainer.networks.frozen import freeze
from trainer.networks.generator import Generator
from trainer.networks.mirrored import judge_mirrored
from trainer.reference.search import reference_search, search_loss

Pair = tuple[Tensor, Tensor | None]  # a network's output, and the log variance where it gives one


class ReferenceSearcher:
    """Algorithm 1 in PyTorch for a GAN, encoder and decoder otherwise; weights frozen."""

    name = "reference"

    def __init__(self, checkpoint: Checkpoint, search: SearchConfig) -> None:
        self._generator, self._discriminator = checkpoint.generator, checkpoint.discriminator
        self._searched: tuple[Generator, Discriminator] | None = None
        if isinstance(checkpoint.generator, Generator):
            assert checkpoint.discriminator is not None
            self._searched = freeze(checkpoint.generator, checkpoint.discriminator)
            self._generator, self._discriminator = self._searched
        self._encoder = checkpoint.encoder
        self._search, self._flips = search, checkpoint.config.verdict_flips

    def search(self, tiles: npt.NDArray[np.uint8]) -> SearchResult:
        """Search all tiles, uint8 [N, H, W, C], from the encoder's z or, without one, from the same seeded z."""
        s = self._search
        x = torch.from_numpy(to_model_range(tiles))
        with torch.no_grad():
            z, z_log_variance = self._start(x)
        if self._searched is not None:
            z = reference_search(*self._searched, x, z, s.iterations, s.learning_rate, s.gamma, s.lam)
        with torch.no_grad():
            reconstruction, log_variance = _pair(self._generator, z)
            found = {"z": z, "reconstruction": reconstruction}
            if self._discriminator is not None:
                found |= _verdicts(self._discriminator, x, reconstruction, self._flips)
            if self._searched is not None:
                found["loss"] = search_loss(*self._searched, z, x, self._searched[1](x)[1], s.gamma, s.lam)
            if z_log_variance is not None:
                found["kl"] = 0.5 * (z_log_variance.exp() + z.square() - 1 - z_log_variance).sum(1)
            if log_variance is not None:
                assert z_log_variance is not None
                found["negative_log_likelihood"] = self._negative_log_likelihood(x, z, z_log_variance)
        return SearchResult(**{name: tensor.numpy() for name, tensor in found.items()})

    def close(self) -> None:
        """Nothing to release."""

    def _start(self, x: Tensor) -> Pair:
        if self._encoder is not None:
            return _pair(self._encoder, x)
        return initial_latent(self._search.seed, len(x), self._generator.latent_size), None

    def _negative_log_likelihood(self, x: Tensor, mean: Tensor, z_log_variance: Tensor) -> Tensor:
        """−log p(x | z) of each pixel, averaged over the samples of z; without samples, at the mean."""
        spread = (0.5 * z_log_variance).exp()
        noise = torch.zeros(1, mean.shape[1])
        if self._search.samples:
            noise = sample_noise(self._search.seed, self._search.samples, mean.shape[1])
        total = torch.zeros_like(x)
        for row in noise:
            image, log_variance = _pair(self._generator, mean + spread * row)
            assert log_variance is not None
            total += 0.5 * ((x - image).square() / log_variance.exp() + log_variance + math.log(2 * math.pi))
        return total / len(noise)


def initial_latent(seed: int, count: int, latent_size: int) -> Tensor:
    """The first z: one standard normal draw, the same for every tile, float32 [count, latent_size]."""
    first = np.random.default_rng(seed).standard_normal(latent_size).astype(np.float32)
    return torch.from_numpy(np.repeat(first[None], count, axis=0))


def sample_noise(seed: int, samples: int, latent_size: int) -> Tensor:
    """The noise of a VAE's samples of z, the same for every tile, float32 [samples, latent_size]."""
    return torch.from_numpy(np.random.default_rng(seed).standard_normal((samples, latent_size)).astype(np.float32))


def _verdicts(
    discriminator: Discriminator, x: Tensor, reconstruction: Tensor, flips: Sequence[Flip]
) -> dict[str, Tensor]:
    """What D makes of tiles and of their reconstructions."""
    logit_frame, fx, *patch_logits = judge_mirrored(discriminator.judge_all, x, flips)
    logit, features, *_ = judge_mirrored(discriminator.judge_all, reconstruction, flips)
    feature_residual = (fx - features).abs().flatten(1).sum(1)
    found = {"feature_residual": feature_residual, "logit_reconstruction": logit, "logit_frame": logit_frame}
    return {**found, "patch_logits": patch_logits[0]} if patch_logits else found


def _pair(network: nn.Module, value: Tensor) -> Pair:
    output = network(value)
    return output if isinstance(output, tuple) else (output, None)
