"""Coverage: the share of the variance of held-out normal tiles that a model's reconstructions explain.

    coverage = 1 − Σ‖x − x̂‖² / Σ‖x − mean‖²

x is a held-out normal tile in [-1, 1], x̂ its reconstruction, and mean the mean of *training* tiles. 1: every tile is
reproduced; 0: the mean image would do as well; below 0: the mean image would do better. A normal structure that the
model cannot make looks like a defect. Principal components of the training tiles, as many as z has numbers, are the
yardstick: whatever learns from the same tiles for longer should explain at least as much.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydantic import Field

from latentline.base.counted import counted
from latentline.base.strict_yaml import StrictModel

Float = npt.NDArray[np.float32]

OVERSAMPLING = 20  # more directions than asked for, and
POWER_ITERATIONS = 4  # this number of passes: the randomized SVD of Halko et al. 2011 is then as good as an exact one
NEGLIGIBLE = 1e-5  # of the largest singular value: what float32 cannot tell from 0


class Coverage(StrictModel):
    """Coverage of a model, and of principal components on the same tiles.

    explained   by the model's reconstructions
    pca         by the principal components of training tiles
    tiles       held-out normal tiles behind both
    components  principal components: as many as z has numbers, or as the training tiles have
    """

    explained: float = Field(le=1, allow_inf_nan=False)
    pca: float = Field(le=1, allow_inf_nan=False)
    tiles: int = Field(ge=1)
    components: int = Field(ge=0)

    @property
    def sentence(self) -> str:
        """Both shares as half a sentence."""
        return (
            f"explains {self.explained:.2f} of the variance of held-out normal tiles; "
            f"{counted(self.components, 'principal component explains', 'principal components explain')} {self.pca:.2f}"
        )


@dataclass(frozen=True)
class PrincipalComponents:
    """The mean [D] of training tiles, and their first k principal components, orthonormal [D, k]; D is C · S · S."""

    mean: Float
    directions: Float

    @classmethod
    def fit(cls, tiles: Float, count: int, seed: int = 0) -> PrincipalComponents:
        """The first `count` components of tiles [N, C, S, S], or as many as the tiles have, by randomized SVD."""
        flat = tiles.reshape(len(tiles), -1)
        mean = flat.mean(axis=0, dtype=np.float64).astype(np.float32)
        centred = flat - mean
        width = min(count + OVERSAMPLING, *centred.shape)
        start = np.random.default_rng(seed).standard_normal((len(flat), width), dtype=np.float32)
        basis = np.linalg.qr(centred.T @ start)[0]
        for _ in range(POWER_ITERATIONS):
            basis = np.linalg.qr(centred.T @ np.linalg.qr(centred @ basis)[0])[0]
        _, singular, rotation = np.linalg.svd(centred @ basis, full_matrices=False)
        kept = int((singular > NEGLIGIBLE * max(float(singular[0]), 1e-6)).sum())
        directions = basis @ rotation.T[:, : min(count, kept)]
        return cls(mean, np.ascontiguousarray(directions, np.float32))

    def reconstruct(self, tiles: Float) -> Float:
        """The nearest images that mean and components can make of tiles [N, C, S, S], in the same shape."""
        centred = tiles.reshape(len(tiles), -1) - self.mean
        made: Float = self.mean + (centred @ self.directions) @ self.directions.T
        return made.reshape(tiles.shape)


def explained_share(tiles: Float, reconstructions: Float, mean: Float) -> float | None:
    """Coverage of the tiles [N, C, S, S] by their reconstructions; `mean` is that of the training tiles, C · S · S.

    None where the tiles do not vary (all equal the mean), or a reconstruction is not finite.
    """
    total = _squares(tiles, np.broadcast_to(mean.reshape(tiles.shape[1:]), tiles.shape))
    left = _squares(tiles, reconstructions)
    if total <= 0 or not np.isfinite(left):
        return None
    return 1 - left / total


def _squares(tiles: Float, others: Float) -> float:
    """Σ‖x − y‖² in float64, tile by tile: a float64 copy of all tiles may not fit."""
    with np.errstate(invalid="ignore", over="ignore"):
        return sum(float(np.square(x.astype(np.float64) - y).sum()) for x, y in zip(tiles, others, strict=True))
