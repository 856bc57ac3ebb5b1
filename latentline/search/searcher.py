"""The contract of a searcher: tiles in, nearest normal images out. Each backend implements it once."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float32]
UInt8 = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class TileScores:
    """The numbers that a search gives for N tiles. None where the method has no such number.

    feature_residual      [N] Σ|f(x) − f(G(ẑ))|
    logit_reconstruction  [N] logit of D(G(ẑ))
    logit_frame           [N] logit of D(x)
    loss                  [N] L'(ẑ), the paper's sums
    kl                    [N] KL(q(z|x) ‖ N(0, 1)), nats (VAE)
    """

    feature_residual: Float | None = None
    logit_reconstruction: Float | None = None
    logit_frame: Float | None = None
    loss: Float | None = None
    kl: Float | None = None


@dataclass(frozen=True, kw_only=True)
class SearchResult(TileScores):
    """What a search found for N tiles.

    z                        [N, L] latent ẑ
    reconstruction           [N, C, H, W] G(ẑ), about [-1, 1]
    patch_logits             [N, h, w] of the patch head on x, larger is more normal; None without a patch head
    negative_log_likelihood  [N, C, H, W] −log p(x | z) of each pixel, averaged over samples of z; None: not a VAE
    """

    z: Float
    reconstruction: Float
    patch_logits: Float | None = None
    negative_log_likelihood: Float | None = None

    def tiles(self, start: int, stop: int) -> SearchResult:
        """The result of the tiles from `start` to before `stop`."""
        arrays = ((f.name, getattr(self, f.name)) for f in fields(self))
        rows: dict[str, Any] = {name: None if array is None else array[start:stop] for name, array in arrays}
        return SearchResult(**rows)


class Searcher(Protocol):
    """Finds the normal image nearest to each tile. Deterministic, with fixed work for each tile."""

    name: str

    def search(self, tiles: UInt8) -> SearchResult:
        """Search all tiles, uint8 [N, H, W, C], as one batch. Tiles do not influence one another."""
        ...

    def close(self) -> None:
        """Release the backend; afterwards `search` must not be called."""
        ...
