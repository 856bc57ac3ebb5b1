"""The reference search as a `Searcher`: what `evaluate` runs before anything is exported."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from latentline.preprocessing import to_model_range
from latentline.searcher import SearchResult
from trainer.checkpoint import Checkpoint
from trainer.config import SearchConfig
from trainer.search import freeze, reference_search, search_loss


class ReferenceSearcher:
    """Algorithm 1 in PyTorch, weights frozen."""

    name = "reference"

    def __init__(self, checkpoint: Checkpoint, search: SearchConfig) -> None:
        self._generator, self._discriminator = freeze(checkpoint.generator, checkpoint.discriminator)
        self._encoder = checkpoint.encoder
        self._search = search

    def search(self, tiles: npt.NDArray[np.uint8]) -> SearchResult:
        """Search all tiles, uint8 [N, H, W, C], from the encoder's z or, without one, from the same seeded z."""
        s, networks = self._search, (self._generator, self._discriminator)
        x = torch.from_numpy(to_model_range(tiles))
        with torch.no_grad():
            latent_size = self._generator.latent_size
            z = self._encoder(x) if self._encoder else initial_latent(s.seed, len(tiles), latent_size)
        z = reference_search(*networks, x, z, s.iterations, s.learning_rate, s.gamma, s.lam)
        with torch.no_grad():
            logit_frame, fx = self._discriminator(x)
            reconstruction = self._generator(z)
            logit, features = self._discriminator(reconstruction)
            loss = search_loss(*networks, z, x, fx, s.gamma, s.lam)
        feature_residual = (fx - features).abs().flatten(1).sum(1)
        return SearchResult(*(t.numpy() for t in (feature_residual, logit, logit_frame, loss, z, reconstruction)))

    def close(self) -> None:
        """Nothing to release."""


def initial_latent(seed: int, count: int, latent_size: int) -> torch.Tensor:
    """The first z: one standard normal draw, the same for every tile, float32 [count, latent_size]."""
    first = np.random.default_rng(seed).standard_normal(latent_size).astype(np.float32)
    return torch.from_numpy(np.repeat(first[None], count, axis=0))
