"""Coverage of a training: tiles to measure it on, principal components to measure it by.

`fit`, `evaluate` and the exporter use the same tiles of a split, so their figures can be compared.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from latentline.base.counted import counted
from latentline.errors import ImageError
from latentline.scoring.coverage import Coverage, PrincipalComponents, explained_share
from latentline.search.searcher import Searcher
from latentline.search.tiler import TILES_TOGETHER
from latentline.vision.preprocessing import to_model_range
from latentline.vision.tiles import TilePlan
from trainer.config import TrainConfig
from trainer.data.crops import CropSampler
from trainer.data.source import ImageSource
from trainer.data.split import Split

Float = npt.NDArray[np.float32]
UInt8 = npt.NDArray[np.uint8]

MAX_TRAINING_TILES = 4096  # for the principal components
MAX_HELD_OUT_TILES = 400  # a GAN of 64 px reconstructs them in two seconds on one CPU thread
MAX_VALUES = 2**26  # of training tiles in memory: 256 MiB as float32; held-out ones take at most half of that
PER_TRAINING_IMAGE = 16  # tiles at least where it has as many: large images are not read by the hundred
PER_HELD_OUT_IMAGE = 4
DRAWS_PER_AREA = 4  # tiles drawn where one fits without overlap
MAX_SEARCH_STEPS = 5_000  # of a search with iterations, over all tiles: shorter than a calibration
FEWEST_SEARCHED = 64  # tiles
CONSTANT = (
    "constant images: the held-out normal tiles all equal the mean of the training tiles, so there is no variance to "
    "explain; check data and preprocessing"
)
log = logging.getLogger(__name__)


class CoverageMeter:
    """Held-out normal tiles of a split, and what principal components of its training tiles explain of them.

    tiles    uint8 [N, S, S, C], held out, in a seeded order
    problem  why nothing can be measured, one sentence; None: all is well
    """

    def __init__(self, source: ImageSource, split: Split, config: TrainConfig) -> None:
        size, seed = config.network.resolution, config.schedule.seed
        most = max(2, MAX_VALUES // (size * size * config.preprocessing.channels))
        training = _draw_training_tiles(source, split.train, config, min(MAX_TRAINING_TILES, most))
        self.tiles = _cut_held_out(source, split.held_out, config, min(MAX_HELD_OUT_TILES, max(1, most // 2)))
        self.problem: str | None = None
        if not len(training) or not len(self.tiles):
            self.problem = "no held-out normal image can be read, so coverage is not measured; hold out some"
            return
        latent_size = config.network.latent_size
        self._components = PrincipalComponents.fit(to_model_range(training), latent_size, seed)
        found = self._components.directions.shape[1]
        x = to_model_range(self.tiles)
        if explained_share(x, x, self._components.mean) is None:
            self.problem = CONSTANT
        elif found < latent_size:
            log.warning(
                "%d different training tiles have only %s, fewer than network.latent_size %d: "
                "coverage is compared with these; use more images or a smaller z",
                len(training),
                counted(found, "principal component"),
                latent_size,
            )

    def measure(self, reconstructions: Float) -> Coverage | None:
        """Coverage by reconstructions [n, C, S, S] in [-1, 1] of the first n tiles.

        None where it cannot be measured: `problem` says why, or a reconstruction is not finite.
        """
        if self.problem is not None:
            return None
        x = to_model_range(self.tiles[: len(reconstructions)])
        mean = self._components.mean
        explained, pca = (explained_share(x, made, mean) for made in (reconstructions, self._components.reconstruct(x)))
        if explained is None or pca is None:
            return None
        components = self._components.directions.shape[1]
        # rounded, so that a resumed run repeats the figures of an uninterrupted one whatever the order of sums
        return Coverage(explained=round(explained, 6), pca=round(pca, 6), tiles=len(x), components=components)

    def measure_search(self, searcher: Searcher, iterations: int) -> Coverage | None:
        """Coverage by what `searcher` finds in `iterations` steps; of fewer tiles where the search is long."""
        if self.problem is not None:
            log.warning("%s", self.problem)
            return None
        count = len(self.tiles)
        if iterations:
            count = min(count, max(FEWEST_SEARCHED, MAX_SEARCH_STEPS // iterations))
        batches = (self.tiles[start : min(start + TILES_TOGETHER, count)] for start in range(0, count, TILES_TOGETHER))
        return self.measure(np.concatenate([searcher.search(batch).reconstruction for batch in batches]))


def _draw_training_tiles(source: ImageSource, names: Sequence[str], config: TrainConfig, count: int) -> UInt8:
    """At most `count` different random tiles, uint8 [N, S, S, C], augmented as in the training."""
    size, rng = config.network.resolution, np.random.default_rng(config.schedule.seed)
    found: dict[bytes, UInt8] = {}
    quota = max(PER_TRAINING_IMAGE, math.ceil(count / max(1, len(names))))
    for image in _read_in_random_order(source, names, config, rng):
        fit = max(1, image.shape[0] // size) * max(1, image.shape[1] // size)
        drawn = CropSampler([image], size, config.augment).tiles(min(quota, DRAWS_PER_AREA * fit), rng)
        found |= {tile.tobytes(): tile for tile in drawn}
        if len(found) >= count:
            break
    return _stack(list(found.values())[:count], config)


def _cut_held_out(source: ImageSource, names: Sequence[str], config: TrainConfig, count: int) -> UInt8:
    """At most `count` tiles, uint8 [N, S, S, C], from where calibration cuts them."""
    size, overlap = config.network.resolution, config.search.overlap
    rng, found = np.random.default_rng(config.schedule.seed), list[UInt8]()
    quota = max(PER_HELD_OUT_IMAGE, math.ceil(count / max(1, len(names))))
    for image in _read_in_random_order(source, names, config, rng):
        tiles = TilePlan.cover(image.shape[0], image.shape[1], size, overlap).cut(image)
        found += [tiles[i] for i in rng.permutation(len(tiles))[:quota]]
        if len(found) >= count:
            break
    return _stack([found[i] for i in rng.permutation(len(found))[:count]], config)


def _read_in_random_order(
    source: ImageSource, names: Sequence[str], config: TrainConfig, rng: np.random.Generator
) -> Iterator[UInt8]:
    """Each readable image, prepared. The training has named the broken ones."""
    for index in rng.permutation(len(names)):
        try:
            yield config.preprocessing.apply(source.read(names[index]))
        except ImageError:
            continue


def _stack(tiles: Sequence[UInt8], config: TrainConfig) -> UInt8:
    size = config.network.resolution
    return np.stack(tiles) if tiles else np.empty((0, size, size, config.preprocessing.channels), np.uint8)
