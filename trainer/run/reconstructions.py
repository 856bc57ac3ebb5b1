"""Reconstructions of a few test images by a finished checkpoint."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from latentline.vision.preprocessing import to_picture
from latentline.vision.tiles import pad_to
from trainer.checkpoint import Checkpoint
from trainer.data.crops import prepare_mask
from trainer.data.loading import load
from trainer.data.source import ImageSource
from trainer.data.split import Split
from trainer.reference.searcher import ReferenceSearcher
from trainer.run.pictures import save_reconstructions

SHOWN = 3  # normal tiles, and as many abnormal ones
MAX_ITERATIONS = 50  # enough for a picture

UInt8 = npt.NDArray[np.uint8]


def draw_reconstructions(path: Path, checkpoint: Checkpoint, source: ImageSource) -> None:
    """Search one tile of each image, around its defect where a mask shows it, and save the picture."""
    config = checkpoint.config
    loaded = load(source, _names(checkpoint.split))
    tiles = [_tile(source, name, image, checkpoint) for name, image in loaded.images.items()]
    searcher = ReferenceSearcher(checkpoint, config.search, min(config.unmeasured_iterations, MAX_ITERATIONS))
    try:
        result = searcher.search(np.stack(tiles))
    finally:
        searcher.close()
    save_reconstructions(path, np.stack(tiles), to_picture(result.reconstruction))


def _names(split: Split) -> tuple[str, ...]:
    normal = split.test_good or split.held_out
    kinds = [names[0] for names in split.test_abnormal.values() if names]
    more = [name for names in split.test_abnormal.values() for name in names[1:]]
    return (*normal[:SHOWN], *[*kinds, *more][:SHOWN])


def _tile(source: ImageSource, name: str, image: UInt8, checkpoint: Checkpoint) -> UInt8:
    size = checkpoint.config.network.resolution
    prepared = checkpoint.config.preprocessing.apply(image)
    mask = source.mask(name, (image.shape[0], image.shape[1]))
    centre = np.array(prepared.shape[:2]) // 2
    if mask is not None and mask.any():
        where = np.argwhere(prepare_mask(mask, prepared))
        centre = where[len(where) // 2]
    padded = pad_to(prepared, size)
    y, x = np.clip(centre - size // 2, 0, np.array(padded.shape[:2]) - size)
    return np.asarray(padded[y : y + size, x : x + size])
