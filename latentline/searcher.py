"""The contract of a searcher: frames in, nearest normal images out. One file a backend implements it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float32]
UInt8 = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class TileScores:
    """What one search leaves of N tiles, in numbers.

    feature_residual      [N] Σ|f(x) − f(G(ẑ))|
    logit_reconstruction  [N] logit of D(G(ẑ))
    logit_frame           [N] logit of D(x)
    loss                  [N] L'(ẑ), the paper's sums
    """

    feature_residual: Float
    logit_reconstruction: Float
    logit_frame: Float
    loss: Float


@dataclass(frozen=True)
class SearchResult(TileScores):
    """What one search found for N tiles.

    z               [N, L] latent ẑ
    reconstruction  [N, C, H, W] G(ẑ), about [-1, 1]
    """

    z: Float
    reconstruction: Float


class Searcher(Protocol):
    """Explains tiles by the nearest normal image: a fixed amount of work a call, deterministic."""

    name: str

    def search(self, tiles: UInt8) -> SearchResult:
        """Search all tiles, uint8 [N, H, W, C], as one batch. Tiles do not influence one another."""
        ...

    def close(self) -> None:
        """Release the backend; afterwards `search` must not be called."""
        ...
