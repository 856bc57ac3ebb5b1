"""The prepared image itself, pooled: the model's statistic and score, but without a reconstruction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from latentline.inspection.host_reconstructor import HostReconstructor
from latentline.inspection.inspector import Inspector
from latentline.scoring.calibrate import calibrate
from latentline.scoring.held_out import FEWEST_STANDARDISING
from latentline.search.searcher import SearchResult
from latentline.search.tiler import FrameTiler
from latentline.vision.preprocessing import Preprocessing, to_model_range

Float = npt.NDArray[np.float32]
UInt8 = npt.NDArray[np.uint8]
FALSE_ALARM_RATE = 0.5  # calibration needs one; its threshold is not used


class MeanLevelSearcher:
    """A searcher that reconstructs each tile as its own mean grey level."""

    name = "nothing"

    def search(self, tiles: UInt8) -> SearchResult:
        """As `Searcher.search`."""
        x = to_model_range(tiles)
        flat = np.broadcast_to(x.mean(axis=(2, 3), keepdims=True), x.shape)
        return SearchResult(z=np.zeros((len(x), 0), np.float32), reconstruction=np.ascontiguousarray(flat))

    def close(self) -> None:
        """Nothing to release."""


class PooledInput:
    """How far an image is from a flat one: map and score of a package whose model reconstructs nothing.

    kind                which map
    tile_size, overlap  the model's, because statistics are taken for each pixel of a tile
    """

    raw = False
    spared_seconds = 0.0

    def __init__(self, kind: Literal["residual", "l2"], tile_size: int, overlap: float) -> None:
        self.name = "pooled input" if kind == "residual" else "pooled input, squared"
        self._kind: Literal["residual", "l2"] = kind
        self._tile_size, self._overlap = tile_size, overlap

    def fit(self, normal: Sequence[UInt8]) -> None:
        """Take statistics of all images. Few images are counted several times, so that calibration accepts them."""
        prepared = Preprocessing(channels=3 if normal[0].shape[2] == 3 else 1)
        tiler, searcher = FrameTiler(prepared, self._tile_size, self._overlap), MeanLevelSearcher()
        images = list(normal) * -(-FEWEST_STANDARDISING // len(normal))
        found = calibrate(searcher, tiler, images, images[:1], FALSE_ALARM_RATE, map=self._kind)
        self._inspector = Inspector(HostReconstructor(searcher, tiler, found.statistics), found.calibration)

    def score(self, image: UInt8) -> tuple[float, Float]:
        """As `Baseline.score`."""
        result = self._inspector.inspect(image)
        return result.score, result.anomaly_map
