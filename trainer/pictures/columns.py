"""The columns of a picture of tiles: the tiles and their nearest normal images, differences, anomaly maps."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from latentline.inspection.panels import GREEN, HEAT_FULL_SCALE
from trainer.pictures.grid import ColourScale, Column

Float = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
UInt8 = npt.NDArray[np.uint8]

SIDE = 160  # px at least, so that single pixels of a small tile can be seen
LARGEST_SIDE = 256  # px; larger tiles are reduced
FEWEST_LEVELS = 8  # grey levels at either end of the scale of differences: less is noise


def photographs(title: str, tiles: UInt8, masks: Sequence[Mask | None] | None = None) -> Column:
    """Tiles uint8 [N, S, S, C] in their own colours, masks [S, S] outlined in green."""
    return Column(title, _outlined([enlarged(tile) for tile in tiles], masks))


def differences(tiles: UInt8, reconstructions: UInt8) -> Column:
    """Tile minus reconstruction, both uint8 [N, S, S, C]; of colours the channel that differs most.

    The scale ends at what is as strong as the pattern of a middling tile: the 99th percentile of the distance of its
    grey levels from their median. So two models have the same scale on the same tiles.
    """
    levels = tiles.astype(np.int16)
    contrasts = np.abs(levels - np.median(levels, axis=(1, 2, 3), keepdims=True))
    end = max(FEWEST_LEVELS, math.ceil(np.median(np.percentile(contrasts, 99, axis=(1, 2, 3)))))
    difference = levels - reconstructions
    largest = np.abs(difference).argmax(axis=3)[..., None]
    signed = np.take_along_axis(difference, largest, axis=3)[..., 0]
    scale = ColourScale(_colours("RdBu_r"), f"−{end} to {end} grey levels:\nblue is darker than normal")
    return Column("difference:\ntile minus normal image", _coloured(signed / (2 * end) + 0.5, scale), scale)


def anomaly_maps(maps: Float, masks: Sequence[Mask | None] | None = None) -> Column:
    """Anomaly maps float32 [N, S, S] in standard deviations of normal frames, masks [S, S] outlined in green."""
    scale = ColourScale(_colours("inferno"), f"0 to {HEAT_FULL_SCALE:g} standard deviations\nof normal frames, or more")
    return Column("anomaly map", _outlined(_coloured(maps / HEAT_FULL_SCALE, scale), masks), scale)


def enlarged(picture: UInt8, side: int = SIDE, largest_side: int = LARGEST_SIDE) -> UInt8:
    """The picture [S, S, C] as [T, T, 3] BGR with T ≥ `side`, every pixel repeated.

    One larger than `largest_side` is reduced to that.
    """
    colour = picture if picture.shape[2] == 3 else np.repeat(picture, 3, axis=2)
    size = picture.shape[0]
    if size > largest_side:
        return np.asarray(cv2.resize(colour, (largest_side, largest_side), interpolation=cv2.INTER_AREA))
    factor = math.ceil(side / size)
    return np.repeat(np.repeat(colour, factor, axis=0), factor, axis=1)


def _coloured(shares: npt.NDArray[np.floating], scale: ColourScale) -> list[UInt8]:
    """Values [N, S, S], from 0 for the lowest colour to 1 for the highest, as pictures."""
    indices = np.clip(np.rint(shares * 256), 0, 255).astype(np.uint8)
    return [enlarged(picture) for picture in scale.colours[indices]]


def _outlined(pictures: list[UInt8], masks: Sequence[Mask | None] | None) -> list[UInt8]:
    for picture, mask in zip(pictures, masks or (), strict=False):
        if mask is not None:
            size = picture.shape[1], picture.shape[0]
            large = cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
            contours, _ = cv2.findContours(large, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
            cv2.drawContours(picture, contours, -1, GREEN, 1)
    return pictures


def _colours(name: str) -> UInt8:
    """A colour map of matplotlib, uint8 [256, 3] BGR."""
    import matplotlib  # takes half a second, and a training draws late

    return np.asarray(matplotlib.colormaps[name](np.arange(256), bytes=True)[:, 2::-1])
