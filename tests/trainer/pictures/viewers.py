"""A viewer without a model, and the cells of a picture that was drawn."""

from pathlib import Path

import cv2
import numpy as np

from latentline.search.searcher import SearchResult
from latentline.search.tiler import FrameTiler
from latentline.vision.preprocessing import Preprocessing, to_model_range
from trainer.pictures.columns import SIDE
from trainer.pictures.grid import COLUMN_WIDTH, GAP, ROW_TITLE_HEIGHT, SCALE_HEIGHT, TITLE_HEIGHT
from trainer.pictures.tiles import TileViewer

TILE = 32


class ShiftingSearcher:
    """Its nearest normal image is the tile, brighter by so many grey levels."""

    name = "shifting"

    def __init__(self, levels: int = 0) -> None:
        self._levels = levels

    def search(self, tiles: np.ndarray) -> SearchResult:
        reconstruction = to_model_range(tiles) + np.float32(self._levels / 127.5)
        return SearchResult(z=np.zeros((len(tiles), 1), np.float32), reconstruction=reconstruction)

    def close(self) -> None:
        pass


def shifting_viewer(*levels: int, channels: int = 1) -> TileViewer:
    """A column of nearest normal images for each shift."""
    preprocessing = Preprocessing.model_validate({"channels": channels})
    searchers = {f"shifted by {shift}": ShiftingSearcher(shift) for shift in levels}
    return TileViewer(FrameTiler(preprocessing, TILE, 0.5), searchers)


def read_cells(path: Path, side: int = SIDE) -> list[list[np.ndarray]]:
    """The pictures [side, side, 3] of each row of a picture of tiles; some column must have a scale."""
    picture = cv2.imread(str(path))
    assert picture is not None
    head = TITLE_HEIGHT + SCALE_HEIGHT
    down, across = ROW_TITLE_HEIGHT + side + GAP, max(side, COLUMN_WIDTH) + GAP
    assert (picture.shape[0] - head) % down == 0 and (picture.shape[1] - GAP) % across == 0
    ys, xs = range(head + ROW_TITLE_HEIGHT, picture.shape[0], down), range(GAP, picture.shape[1], across)
    return [[picture[y : y + side, x : x + side] for x in xs] for y in ys]
