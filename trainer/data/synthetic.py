"""Synthetic abnormal tiles made from normal ones, for users with few defects or none.

cut and paste   a patch or a scar from another place (CutPaste, Li et al. 2021, §2.2)
texture         of another tile, or noise, blended in where Perlin noise is high (DRAEM, Zavrtanik et al. 2021, §3.2)
smoothing       a soft blob without fine structure
shading         a soft blob that is brighter or darker: defects of low frequency

Each takes grey levels uint8 [S, S, C] and gives new content and the mask to which it applies.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from trainer.data.crops import CropSampler, to_tensor
from trainer.data.perlin import perlin

UInt8 = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
Float = npt.NDArray[np.float32]
MIN_PEAK_CHANGE = 8.0  # grey levels: a defect whose largest change is smaller teaches nothing; another one is tried
MIN_PIXEL_CHANGE = 3.0  # grey levels: pixels that change less are not abnormal
TRIES = 4
BLOB_EDGE = 0.15  # a soft blob ends where it is weaker than this


class SyntheticSampler:
    """Draws tiles of `normal` and puts a synthetic defect on each."""

    def __init__(self, normal: CropSampler) -> None:
        self._normal = normal

    def draw_with_masks(self, count: int, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Tiles float32 [count, C, size, size] in [-1, 1], masks bool [count, 1, size, size], known: all True."""
        tiles, masks = synthesise(self._normal.tiles(count, rng), rng)
        return to_tensor(tiles), torch.from_numpy(masks[:, None]), torch.ones(count, dtype=torch.bool)


def synthesise(tiles: UInt8, rng: np.random.Generator) -> tuple[UInt8, npt.NDArray[np.bool_]]:
    """Put a defect on each of the normal `tiles` uint8 [N, S, S, C]; give new tiles, and masks bool [N, S, S].

    Every tile changes visibly inside its mask, and nowhere else.
    """
    changed = [_with_defect(tile, tiles[rng.integers(len(tiles))], rng) for tile in tiles]
    return np.stack([tile for tile, _ in changed]), np.stack([mask for _, mask in changed])


def _with_defect(tile: UInt8, other: UInt8, rng: np.random.Generator) -> tuple[UInt8, Mask]:
    for _ in range(TRIES):
        defect = (_patch, _scar, _texture, _smoothing, _shading)[rng.integers(5)]
        content, mask = defect(tile, other, rng)
        levels: UInt8 = np.clip(np.rint(content), 0, 255).astype(np.uint8)
        difference = cv2.absdiff(levels, tile).reshape(tile.shape).max(axis=2) * mask
        if difference.max() >= MIN_PEAK_CHANGE:
            # dilated, because a pixel within a defect may keep its level by chance
            mask &= cv2.dilate((difference >= MIN_PIXEL_CHANGE).astype(np.uint8), np.ones((5, 5), np.uint8)).astype(
                np.bool_
            )
            return np.where(mask[..., None], levels, tile), mask
    return _inverted(tile, rng)


def _inverted(tile: UInt8, rng: np.random.Generator) -> tuple[UInt8, Mask]:
    """A blob shifted by half the grey range: visible on every tile, even on a uniform one."""
    mask = _blob(tile.shape[0], rng) > BLOB_EDGE
    return np.where(mask[..., None], tile ^ np.uint8(128), tile), mask


def _patch(tile: UInt8, other: UInt8, rng: np.random.Generator) -> tuple[Float, Mask]:
    """A rectangle from another tile: 2 … 15 % of the area, aspect ratio 0.3 … 3.3."""
    size = tile.shape[0]
    area, aspect = rng.uniform(0.02, 0.15) * size**2, np.exp(rng.uniform(np.log(0.3), np.log(3.3)))
    height, width = (int(np.clip(v, 2, size)) for v in (np.sqrt(area * aspect), np.sqrt(area / aspect)))
    return _pasted(tile, other, height, width, 0.0, rng)


def _scar(tile: UInt8, other: UInt8, rng: np.random.Generator) -> tuple[Float, Mask]:
    """A thin strip from another tile, turned by up to 90 degrees; the paper's 2 … 16 by 10 … 25 px are too small."""
    size = tile.shape[0]
    height, width = int(max(2, rng.uniform(0.1, 0.5) * size)), int(max(1, rng.uniform(0.02, 0.08) * size))
    return _pasted(tile, other, height, width, rng.uniform(-90, 90), rng)


def _pasted(
    tile: UInt8, other: UInt8, height: int, width: int, degrees: float, rng: np.random.Generator
) -> tuple[Float, Mask]:
    size = tile.shape[0]
    centre = rng.uniform(0, size, 2)
    box = np.array([[-width, -height], [width, -height], [width, height], [-width, height]]) / 2
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    corners = np.rint(box @ np.array([[cos, sin], [-sin, cos]]) + centre).astype(np.int32)
    mask = np.zeros((size, size), np.uint8)
    cv2.fillConvexPoly(mask, corners, 1)
    # turned about the centre of the paste and shifted; mirrored beyond the edges of the other tile
    turn = cv2.getRotationMatrix2D((float(centre[0]), float(centre[1])), degrees, 1.0)
    turn[:, 2] += rng.uniform(-size / 2, size / 2, 2)
    moved = cv2.warpAffine(other, turn, (size, size), borderMode=cv2.BORDER_REFLECT)
    return _jittered(moved.reshape(tile.shape), rng), mask.astype(np.bool_)


def _texture(tile: UInt8, other: UInt8, rng: np.random.Generator) -> tuple[Float, Mask]:
    """Another tile or noise, blended in with a factor 0.2 … 1 where Perlin noise exceeds 0.3 … 0.6 of its maximum."""
    size = tile.shape[0]
    cells = 2 ** rng.integers(1, max(2, int(np.log2(size)) - 1), size=2)
    noise = perlin(size, (int(cells[0]), int(cells[1])), rng)
    mask = noise > rng.uniform(0.3, 0.6) * noise.max()
    if rng.random() < 0.25:
        grain = rng.integers(0, 256, (max(2, size // int(2 ** rng.integers(4))),) * 2, dtype=np.uint8)
        pattern = np.repeat(cv2.resize(grain, (size, size))[..., None], tile.shape[2], axis=2)
    else:
        pattern = np.rot90(255 - other if rng.random() < 0.5 else other, int(rng.integers(4)))
    blend = np.float32(rng.uniform(0.2, 1.0))
    return tile + blend * (_jittered(pattern, rng) - tile), mask


def _smoothing(tile: UInt8, other: UInt8, rng: np.random.Generator) -> tuple[Float, Mask]:
    size = tile.shape[0]
    blob = _blob(size, rng)
    coarse = max(2, int(rng.uniform(0.06, 0.2) * size))
    small = cv2.resize(tile, (coarse, coarse), interpolation=cv2.INTER_AREA)
    smooth = cv2.resize(small, (size, size), interpolation=cv2.INTER_LINEAR).reshape(tile.shape).astype(np.float32)
    return tile + np.sqrt(blob)[..., None] * (smooth - tile), blob > BLOB_EDGE


def _shading(tile: UInt8, other: UInt8, rng: np.random.Generator) -> tuple[Float, Mask]:
    blob = _blob(tile.shape[0], rng)
    levels = np.float32(rng.uniform(20, 80) * rng.choice((-1, 1)))
    return tile + levels * blob[..., None], blob > BLOB_EDGE


def _blob(size: int, rng: np.random.Generator) -> Float:
    """A rotated Gaussian [S, S], 0 … 1, with its peak inside the tile and deviations of 5 … 25 % of the tile."""
    cy, cx = rng.uniform(0.1, 0.9, 2) * size
    y, x = (
        np.arange(size, dtype=np.float32)[:, None] - np.float32(cy),
        np.arange(size, dtype=np.float32) - np.float32(cx),
    )
    long, wide = rng.uniform(0.05, 0.25, 2) * size
    angle = rng.uniform(0, np.pi)
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    along, across = (cos * x + sin * y) / np.float32(long), (cos * y - sin * x) / np.float32(wide)
    blob: Float = np.exp(-(along**2 + across**2) / 2)
    blob /= blob.max()
    return blob


def _jittered(content: UInt8, rng: np.random.Generator) -> Float:
    """The content with contrast times 0.6 … 1.4 about its mean, and brightness changed by up to ±30 grey levels."""
    values: Float = content.astype(np.float32)
    mean = values.mean()
    values -= mean
    values *= np.float32(rng.uniform(0.6, 1.4))
    values += mean + np.float32(rng.uniform(-30, 30))
    return values
