"""Do the samples of a generator vary as real tiles do? Where they do not, the game has collapsed."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch

from latentline.base.atomic import write_bytes
from latentline.base.strict_yaml import StrictModel
from latentline.search.tiler import TILES_TOGETHER
from latentline.vision.preprocessing import to_model_range, to_picture
from trainer.checkpoint import Checkpoint
from trainer.methods import Autoencoder

Float = npt.NDArray[np.float32]
UInt8 = npt.NDArray[np.uint8]
COUNT = 256
SHOWN, PER_ROW = 64, 8
GAP = 8  # px between samples and real tiles


class SampleSpread(StrictModel):
    """Standard deviation of a pixel over samples G(z), z from N(0, 1), and over real tiles: means over all pixels."""

    samples: float
    real: float


def draw_samples(checkpoint: Checkpoint, count: int = COUNT) -> Float | None:
    """`count` samples G(z) [count, C, S, S], z from N(0, 1) by the configuration's seed.

    None for a plain autoencoder: nothing makes its z follow a distribution.
    """
    if isinstance(checkpoint.config.method, Autoencoder):
        return None
    random = torch.Generator().manual_seed(checkpoint.config.schedule.seed)
    z = torch.randn(count, checkpoint.config.network.latent_size, generator=random)
    with torch.no_grad():
        made = [checkpoint.generator(part) for part in torch.split(z, TILES_TOGETHER)]
    images = [image[0] if isinstance(image, tuple) else image for image in made]
    samples: Float = torch.cat(images).numpy()
    return samples


def spread(samples: Float, tiles: UInt8) -> SampleSpread:
    """Of samples [n, C, S, S] and real tiles uint8 [N, S, S, C]."""
    over_samples, over_tiles = (float(images.std(axis=0).mean()) for images in (samples, to_model_range(tiles)))
    return SampleSpread(samples=over_samples, real=over_tiles)


def save_beside_real(path: Path, samples: Float, tiles: UInt8) -> None:
    """A picture of up to 64 samples, left, and as many real tiles, right."""
    left, right = _grid(to_picture(samples[:SHOWN])), _grid(tiles[:SHOWN])
    gap = np.full((left.shape[0], GAP, left.shape[2]), 255, np.uint8)
    write_bytes(path, cv2.imencode(".png", np.hstack([left, gap, right]))[1].tobytes())


def _grid(tiles: UInt8) -> UInt8:
    """PER_ROW tiles a row; black where there are fewer than SHOWN."""
    padded = np.zeros((SHOWN, *tiles.shape[1:]), np.uint8)
    padded[: len(tiles)] = tiles
    return np.vstack([np.hstack(list(padded[i : i + PER_ROW])) for i in range(0, SHOWN, PER_ROW)])
