"""A picture of tiles beside the nearest normal images that a model finds for them: does G know the product?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from latentline.search.searcher import Searcher
from latentline.search.tiler import FrameTiler
from latentline.vision.preprocessing import to_picture
from latentline.vision.tiles import TilePlan
from trainer.checkpoint import Checkpoint
from trainer.data.crops import prepare_mask
from trainer.pictures.columns import anomaly_maps, differences, photographs
from trainer.pictures.grid import save_grid
from trainer.reference.searcher import ReferenceSearcher

Float = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
UInt8 = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class PicturedTile:
    """One row of the picture.

    title        what the tile is
    tile         uint8 [S, S, C]
    mask         [S, S], True where abnormal; None where there is no mask
    anomaly_map  float32 [S, S], standard deviations of normal frames; None: not calibrated
    """

    title: str
    tile: UInt8
    mask: Mask | None = None
    anomaly_map: Float | None = None


@dataclass(frozen=True)
class TileViewer:
    """Draws tiles beside their nearest normal images.

    tiler      cuts frames as the model's searches do
    searchers  by title of their column; the last one gives the difference
    """

    tiler: FrameTiler
    searchers: Mapping[str, Searcher]

    @classmethod
    def of_checkpoint(cls, checkpoint: Checkpoint, iterations: int) -> TileViewer:
        """Shows G(E(x)) where there is an encoder, and what a search finds where it has iterations."""
        config = checkpoint.config
        tiler = FrameTiler(config.preprocessing, config.network.resolution, config.search.overlap)
        searchers: dict[str, Searcher] = {}
        if checkpoint.encoder is not None:
            searchers["nearest normal image\nat once, G(E(x))"] = _searcher(checkpoint, 0)
        if iterations:
            searchers[f"nearest normal image\nafter {iterations} search steps"] = _searcher(checkpoint, iterations)
        return cls(tiler, searchers)

    def cut(
        self, title: str, frame: UInt8, where: Mask | None = None, mask: Mask | None = None, heat: Float | None = None
    ) -> PicturedTile:
        """The tile of a frame [H, W] or [H, W, C] that holds most of `where`; without it, the tile in the middle.

        where, mask  [H, W]; mask marks what is abnormal
        heat         [H, W], the anomaly map
        Raises ImageError for an unusable frame.
        """
        tiled = self.tiler.tile(frame)
        height, width = tiled.prepared.shape[:2]
        everywhere = np.ones((height, width), np.bool_)
        index = fullest_tile(tiled.plan, everywhere if where is None else prepare_mask(where, tiled.prepared))
        return PicturedTile(
            title,
            tiled.tiles[index],
            None if mask is None else _cut_mask(tiled.plan, prepare_mask(mask, tiled.prepared))[index],
            None if heat is None else tiled.plan.cut(cv2.resize(heat, (width, height))[..., None])[index, ..., 0],
        )

    def save(self, path: Path, tiles: Sequence[PicturedTile]) -> None:
        """Search the tiles as one batch in each searcher, and write the picture: a row for each tile."""
        pixels = np.stack([one.tile for one in tiles])
        searches = tqdm(self.searchers.items(), desc=path.name, unit="search", delay=2)
        found = {title: to_picture(searcher.search(pixels).reconstruction) for title, searcher in searches}
        masks = [one.mask for one in tiles]
        maps = [one.anomaly_map for one in tiles if one.anomaly_map is not None]
        columns = [
            photographs("tile", pixels, masks),
            *(photographs(title, reconstructions) for title, reconstructions in found.items()),
            differences(pixels, list(found.values())[-1]),
        ]
        if len(maps) == len(tiles):
            columns.append(anomaly_maps(np.stack(maps), masks))
        save_grid(path, columns, [one.title for one in tiles])


def fullest_tile(plan: TilePlan, marked: Mask) -> int:
    """Index of the tile with most marked pixels of the prepared frame [h, w]; of several, the one around their centre.

    At least one pixel must be marked.
    """
    counts = _cut_mask(plan, marked).sum(axis=(1, 2))
    centres = np.array(plan.corners) + plan.size / 2
    distances = np.linalg.norm(centres - (np.argwhere(marked).mean(axis=0) + 0.5), axis=1)
    return int(np.lexsort((distances, -counts))[0])


def _searcher(checkpoint: Checkpoint, iterations: int) -> ReferenceSearcher:
    return ReferenceSearcher(checkpoint, checkpoint.config.search, iterations)


def _cut_mask(plan: TilePlan, mask: Mask) -> Mask:
    return plan.cut(mask.astype(np.uint8)[..., None])[..., 0].astype(np.bool_)
