"""Synthetic defects of kinds that no training is shown: they judge a model that was trained on `synthesise`'s.

warp       a blob of the tile is pushed aside: bent, dented
scratch    a thin curved line, darker or brighter
speckle    small dots, darker or brighter: dust, pits
turned     a blob of the tile, turned in place: misplaced structure
erased     a blob filled in from its border: missing structure

Each changes what it touches by about half to three standard deviations of the tile: hardly visible to obvious.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

UInt8 = npt.NDArray[np.uint8]
Float = npt.NDArray[np.float32]
MIN_CHANGE = 3.0  # grey levels: pixels that change less are not abnormal
MIN_STD = 4.0  # grey levels; the deviations of a flatter tile would make an invisible defect
TRIES = 8


def synthesise_unseen(tiles: UInt8, rng: np.random.Generator) -> tuple[UInt8, npt.NDArray[np.bool_]]:
    """Put a defect on each of the tiles uint8 [N, S, S, C]; give new tiles, and masks bool [N, S, S].

    Every tile changes inside its mask, and nowhere else.
    """
    changed = [_with_defect(tile, rng) for tile in tiles]
    return np.stack([tile for tile, _ in changed]), np.stack([mask for _, mask in changed])


def _with_defect(tile: UInt8, rng: np.random.Generator) -> tuple[UInt8, npt.NDArray[np.bool_]]:
    for attempt in range(TRIES):
        kinds = (_warp, _turned, _erased, _scratch, _speckle) if attempt < TRIES - 1 else (_scratch,)
        content = kinds[rng.integers(len(kinds))](tile.astype(np.float32), rng).reshape(tile.shape)
        levels: UInt8 = np.clip(np.rint(content), 0, 255).astype(np.uint8)
        mask = cv2.absdiff(levels, tile).reshape(tile.shape).max(axis=2) >= MIN_CHANGE
        if mask.any():
            break
    else:  # a tile at the end of the grey scale
        mask = np.zeros(tile.shape[:2], np.bool_)
        mask[: max(1, len(mask) // 4), : max(1, len(mask) // 4)] = True
        levels = tile ^ np.uint8(128)
    return np.where(mask[..., None], levels, tile), mask


def _warp(tile: Float, rng: np.random.Generator) -> Float:
    size = tile.shape[0]
    y, x = np.mgrid[:size, :size].astype(np.float32)
    angle, push = rng.uniform(0, 2 * np.pi), rng.uniform(0.03, 0.12) * size
    bump = np.float32(push) * _bump(size, rng)
    moved = cv2.remap(
        tile,
        x + bump * np.float32(np.cos(angle)),
        y + bump * np.float32(np.sin(angle)),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT,
    )
    return np.asarray(moved, np.float32)


def _turned(tile: Float, rng: np.random.Generator) -> Float:
    size = tile.shape[0]
    bump = _bump(size, rng)
    y, x = np.unravel_index(int(bump.argmax()), bump.shape)
    turn = cv2.getRotationMatrix2D((float(x), float(y)), rng.uniform(20, 340), 1.0)
    turned = cv2.warpAffine(tile, turn, (size, size), borderMode=cv2.BORDER_REFLECT).reshape(tile.shape)
    return np.where((bump > 0.5)[..., None], turned, tile)


def _erased(tile: Float, rng: np.random.Generator) -> Float:
    inside = (_bump(tile.shape[0], rng) > 0.6).astype(np.uint8)
    planes = [cv2.inpaint(plane.astype(np.uint8), inside, 3, cv2.INPAINT_TELEA) for plane in tile.transpose(2, 0, 1)]
    return np.stack(planes, axis=2).astype(np.float32)


def _scratch(tile: Float, rng: np.random.Generator) -> Float:
    size = tile.shape[0]
    points = np.cumsum(rng.normal(0, 0.12 * size, (4, 2)), axis=0) + rng.uniform(0.2, 0.8, 2) * size
    line = np.zeros((size, size), np.float32)
    thickness = int(rng.integers(1, max(2, size // 24) + 1))
    cv2.polylines(line, [np.rint(points).astype(np.int32).reshape(-1, 1, 2)], False, 1.0, thickness)
    soft: Float = cv2.GaussianBlur(line, (0, 0), 0.7).reshape(size, size, 1)
    return tile + _contrast(tile, rng) * soft


def _speckle(tile: Float, rng: np.random.Generator) -> Float:
    size = tile.shape[0]
    dots, centre = np.zeros((size, size), np.float32), rng.uniform(0.2, 0.8, 2) * size
    for x, y in np.rint(centre + rng.normal(0, 0.12 * size, (int(rng.integers(1, 9)), 2))).astype(int).tolist():
        cv2.circle(dots, (x, y), int(rng.integers(1, max(2, size // 24) + 1)), 1.0, -1)
    soft: Float = cv2.GaussianBlur(dots, (0, 0), 0.7).reshape(size, size, 1)
    return tile + _contrast(tile, rng) * soft


def _contrast(tile: Float, rng: np.random.Generator) -> float:
    """A change of brightness, 0.5 … 3 standard deviations of the tile."""
    return float(rng.choice((-1, 1)) * rng.uniform(0.5, 3) * max(float(tile.std()), MIN_STD))


def _bump(size: int, rng: np.random.Generator) -> Float:
    """A turned Gaussian [S, S] with its peak, 1, inside the tile and deviations of 5 … 15 % of the tile."""
    y, x = np.mgrid[:size, :size].astype(np.float32)
    cy, cx = np.rint(rng.uniform(0.15, 0.85, 2) * (size - 1)).astype(np.float32)
    long, wide = rng.uniform(0.05, 0.15, 2).astype(np.float32) * size
    angle = rng.uniform(0, np.pi)
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    along, across = (cos * (x - cx) + sin * (y - cy)) / long, (cos * (y - cy) - sin * (x - cx)) / wide
    return np.asarray(np.exp(-(along**2 + across**2) / 2), np.float32)
