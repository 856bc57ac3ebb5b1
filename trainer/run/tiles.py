"""tiles.png of a run: held-out and known-abnormal tiles beside what the finished model makes of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from latentline.errors import ImageError
from trainer.checkpoint import Checkpoint
from trainer.data.source import ImageSource
from trainer.data.split import shuffled
from trainer.pictures.tiles import PicturedTile, TileViewer

SHOWN = 3  # normal tiles, and as many abnormal ones
MAX_ITERATIONS = 50  # enough for a picture, where only a search finds z


def draw_tiles(path: Path, checkpoint: Checkpoint, source: ImageSource) -> None:
    """Write the picture of the first readable images in an order fixed by the seed; no test image is among them.

    Where there is an encoder the picture shows G(E(x)), else what a short search finds. A normal image is shown in its
    middle, an abnormal one where its mask is. Without a readable image there is no picture.
    """
    config, split = checkpoint.config, checkpoint.split
    iterations = 0 if checkpoint.encoder is not None else min(config.unmeasured_iterations, MAX_ITERATIONS)
    viewer = TileViewer.of_checkpoint(checkpoint, iterations)
    rng = np.random.default_rng(config.schedule.seed)
    abnormal = (*split.known_abnormal, *split.validation_abnormal)

    def normal_tile(name: str) -> PicturedTile:
        return viewer.cut(f"normal, held out · {name}", source.read(name))

    def abnormal_tile(name: str) -> PicturedTile:
        frame = source.read(name)
        mask = source.mask(name, (frame.shape[0], frame.shape[1]))
        if mask is None or not mask.any():
            return viewer.cut(f"known abnormal · {name}, no mask: its middle", frame)
        return viewer.cut(f"known abnormal · {name}", frame, mask, mask)

    tiles = [
        *islice(_readable(normal_tile, shuffled(split.held_out, rng)), SHOWN),
        *islice(_readable(abnormal_tile, shuffled(abnormal, rng)), SHOWN),
    ]
    if tiles:
        viewer.save(path, tiles)


def _readable(cut: Callable[[str], PicturedTile], names: Sequence[str]) -> Iterator[PicturedTile]:
    for name in names:
        try:
            yield cut(name)
        except ImageError:
            continue
