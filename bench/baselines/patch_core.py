"""PatchCore (Roth et al. 2022): how far is a patch from the nearest one in a memory of normal patches?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from bench.baselines.grid_maps import grid_map
from bench.baselines.trunk import TrunkFeatures, on_grid

Float = npt.NDArray[np.float32]
Index = npt.NDArray[np.intp]
UInt8 = npt.NDArray[np.uint8]


class PatchCore:
    """Distance of each patch of a grid to the nearest patch in memory, wherever in the image that was.

    The levels of strides 8 and 16 are used. The memory is a greedy coreset of `candidates` patches, drawn by seed and
    equally many of each image. The score is the largest distance, reweighted as in the paper (§3.3): it counts more
    where the nearest patch in memory is itself a rare one, far from its neighbourhood.

    grid        patches a side
    kept        fraction of the candidates in memory
    neighbours  patches of the neighbourhood, the nearest one included
    """

    name = "PatchCore"
    raw = True

    def __init__(
        self,
        features: TrunkFeatures,
        grid: int = 28,
        candidates: int = 40_000,
        kept: float = 0.1,
        neighbours: int = 9,
        seed: int = 0,
    ) -> None:
        self._features, self._grid, self._neighbours = features, grid, neighbours
        self._candidates, self._kept, self._rng = candidates, kept, np.random.default_rng(seed)

    @property
    def spared_seconds(self) -> float:
        """As `Baseline.spared_seconds`."""
        return self._features.spared_seconds

    def fit(self, normal: Sequence[UInt8]) -> None:
        """Fill the memory."""
        count = max(1, self._candidates // len(normal))
        drawn = [self._rng.permutation(self.patches(frame))[:count] for frame in normal]
        candidates = np.concatenate(drawn)
        self.memory = candidates[greedy_coreset(candidates, max(1, round(self._kept * len(candidates))), self._rng)]

    def score(self, image: UInt8) -> tuple[float, Float]:
        """As `Baseline.score`."""
        patches = self.patches(image)
        distances, nearest = self.nearest(patches)
        most = int(distances.argmax())
        return self._reweighted(patches[most], float(distances[most]), nearest[most]), grid_map(distances)

    def nearest(self, patches: Float) -> tuple[Float, Index]:
        """Distance of each patch [n, channels] to its nearest in memory, and the index of that one."""
        index = squared_distances(patches, self.memory).argmin(axis=1)
        return np.asarray(np.linalg.norm(patches - self.memory[index], axis=1)), index

    def patches(self, frame: UInt8) -> Float:
        """Of a frame, [grid * grid, channels]."""
        levels = self._features.levels(frame)
        return on_grid([levels[1], levels[3]], self._grid)

    def _reweighted(self, patch: Float, distance: float, nearest: np.intp) -> float:
        around = squared_distances(self.memory[nearest][None], self.memory)[0]
        neighbourhood = np.argsort(around, kind="stable")[: self._neighbours]
        distances = np.linalg.norm(self.memory[neighbourhood] - patch, axis=1).astype(np.float64)
        # softmax of the distances at the nearest one, in a form that does not overflow
        share = float(1 / np.exp(np.minimum(distances - distance, 700)).sum())
        return (1 - share) * distance if len(neighbourhood) > 1 else distance


def squared_distances(a: Float, b: Float) -> Float:
    """|a − b|² of all rows of a [n, d] and b [m, d], [n, m]."""
    centre = b.mean(axis=0)  # small numbers lose fewer digits
    a, b = a - centre, b - centre
    squared = np.square(a).sum(axis=1)[:, None] + np.square(b).sum(axis=1) - 2 * (a @ b.T)
    return np.asarray(np.maximum(squared, 0))


def greedy_coreset(points: Float, count: int, rng: np.random.Generator, projected: int = 64) -> Index:
    """Indices of `count` of the points [n, d]: each next one is the farthest from all before (k-centre greedy).

    projected  dimensions of the random projection in which distances are taken, as in the paper
    """
    if points.shape[1] > projected:
        points = points @ rng.normal(0, projected**-0.5, (points.shape[1], projected)).astype(np.float32)
    norms = np.square(points).sum(axis=1)
    chosen = np.zeros(count, np.intp)
    chosen[0] = rng.integers(len(points))
    distance = np.full(len(points), np.inf, np.float32)
    for step in tqdm(range(1, count), desc="coreset", unit="patch", delay=2):
        last = points[chosen[step - 1]]
        np.minimum(distance, norms + last @ last - 2 * (points @ last), out=distance)
        chosen[step] = distance.argmax()
    return chosen
