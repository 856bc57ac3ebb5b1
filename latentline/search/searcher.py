"""The contract of a searcher: frames in, nearest normal images out. One file a backend implements it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float32]
UInt8 = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class TileScores:
    """What one search leaves of N tiles, in numbers; None where the method has no such part.

    feature_residual      [N] Σ|f(x) − f(G(ẑ))|
    logit_reconstruction  [N] logit of D(G(ẑ))
    logit_frame           [N] logit of D(x)
    loss                  [N] L'(ẑ), the paper's sums
    kl            [N] KL(q(z|x) ‖ N(0, 1)), nats (VAE)
    """

    feature_residual: Float | None = None
    logit_reconstruction: Float | None = None
    logit_frame: Float | None = None
    loss: Float | None = None
    kl: Float | None = None


@dataclass(frozen=True, kw_only=True)
class SearchResult(TileScores):
    """What one search found for N tiles.

    z               [N, L] latent ẑ
    reconstruction  [N, C, H, W] G(ẑ), about [-1, 1]
    patch_logits    [N, h, w] logits of the discriminator's patch head on x, larger is more normal; None without one
    negative_log_likelihood  [N, C, H, W] −log p(x | z) of each pixel, averaged over the samples of z (VAE); else None
    """

    z: Float
    reconstruction: Float
    patch_logits: Float | None = None
    negative_log_likelihood: Float | None = None

    def tiles(self, start: int, stop: int) -> SearchResult:
        """What was found for the tiles from `start` to before `stop`."""
        found = ((f.name, getattr(self, f.name)) for f in fields(self))
        parts: dict[str, Any] = {name: None if values is None else values[start:stop] for name, values in found}
        return SearchResult(**parts)


class Searcher(Protocol):
    """Explains tiles by the nearest normal image: a fixed amount of work a call, deterministic."""

    name: str

    def search(self, tiles: UInt8) -> SearchResult:
        """Search all tiles, uint8 [N, H, W, C], as one batch. Tiles do not influence one another."""
        ...

    def close(self) -> None:
        """Release the backend; afterwards `search` must not be called."""
        ...
