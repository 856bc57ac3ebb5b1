"""tiles.png of an evaluation: tiles of a few test images beside their nearest normal images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain, zip_longest
from pathlib import Path

import numpy as np
import numpy.typing as npt

from trainer.evaluation.report import GOOD
from trainer.pictures.tiles import PicturedTile, TileViewer

UInt8 = npt.NDArray[np.uint8]

NORMAL = 3  # images
OF_EACH_DEFECT = 2
DEFECTS = 6  # of all kinds together


class ShownTiles:
    """Tiles of the first images of each kind in the order of the split, however well they turn out.

    Three normal images, in the middle; two of each kind of defect, six at most, where the mask is, or where there is
    none, where the anomaly map is highest.
    """

    def __init__(self, viewer: TileViewer | None, readable: Mapping[str, Sequence[str]]) -> None:
        """`readable` are the names of the test images of each kind. A viewer of None shows nothing."""
        self._viewer = viewer
        self._names = frozenset(_chosen(readable))
        self._tiles: list[PicturedTile] = []

    def add(
        self,
        name: str,
        kind: str,
        frame: UInt8,
        anomaly_map: npt.NDArray[np.float32],
        mask: npt.NDArray[np.bool_] | None,
    ) -> None:
        """Take one inspected image, map and mask [H, W] like the frame; keep a tile of it when it is to be shown."""
        if self._viewer is None or name not in self._names:
            return
        if kind == GOOD:
            self._tiles.append(self._viewer.cut(f"normal · {name}", frame, heat=anomaly_map))
        elif mask is not None and mask.any():
            self._tiles.append(self._viewer.cut(f"{kind} · {name}", frame, mask, mask, anomaly_map))
        else:
            peak = anomaly_map == anomaly_map.max()
            title = f"{kind} · {name}, no mask: where the anomaly map is highest"
            self._tiles.append(self._viewer.cut(title, frame, peak, heat=anomaly_map))

    def save(self, path: Path) -> str:
        """Write the picture, or delete that of an earlier evaluation; give the section of the report that shows it."""
        if self._viewer is None or not self._tiles:
            path.unlink(missing_ok=True)
            return ""
        self._viewer.save(path, self._tiles)
        return (
            f"## Tiles\n\n![tiles of test images, their nearest normal images, differences]({path.name})\n\n"
            "Each nearest normal image should show the same product as its tile, without the defect. Then the "
            "difference of a normal tile is faint and without shape; difference and anomaly map of an abnormal tile "
            "show the defect (outlined in green) and nothing else. Where the nearest normal image is blurred, or has "
            "another pattern than the tile, G does not know the product. Shown are the first test images of each kind, "
            "however well they turned out."
        )


def _chosen(readable: Mapping[str, Sequence[str]]) -> list[str]:
    """The first normal images; of the defects the first of each kind, then the second of each, while there is room."""
    defects = [names[:OF_EACH_DEFECT] for kind, names in readable.items() if kind != GOOD]
    in_turn = [name for name in chain.from_iterable(zip_longest(*defects)) if name is not None]
    return [*readable.get(GOOD, ())[:NORMAL], *in_turn[:DEFECTS]]
