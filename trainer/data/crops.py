"""Random tiles of images, as the networks see them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from latentline.vision.preprocessing import to_model_range
from latentline.vision.tiles import pad_to
from trainer.data.settings import AugmentConfig

UInt8 = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
Item = TypeVar("Item", bound=np.generic)


@dataclass(frozen=True)
class _Crops:
    """Where N tiles lie, and how they are augmented.

    images   [N], index of the image
    corners  [N, 2], (y, x) of the upper left corner
    steps    [N, 2], along (y, x): -1 where the tile is mirrored, else 1
    factors  [N], by which grey levels are multiplied
    """

    images: Ints
    corners: Ints
    steps: Ints
    factors: npt.NDArray[np.float64]

    def cut(self, planes: Sequence[npt.NDArray[Item]], size: int) -> list[npt.NDArray[Item]]:
        """The tiles, cut from images [H, W, C] or masks [H, W]."""
        return [
            planes[i][y : y + size, x : x + size][::down, ::right]
            for i, (y, x), (down, right) in zip(
                self.images.tolist(), self.corners.tolist(), self.steps.tolist(), strict=True
            )
        ]


class CropSampler:
    """Draws random tiles of `size` px from prepared images; where an image has a mask, tiles around a defect.

    images  uint8 [H, W, C] of any sizes, kept in memory
    masks   for each image True where abnormal, [H, W]; None, or nowhere True: it is not known where
    shares  for some images by index: the least share of the tiles that come from each; they add up to less than 1
    """

    def __init__(
        self,
        images: Sequence[UInt8],
        size: int,
        augment: AugmentConfig | None = None,
        masks: Sequence[Mask | None] | None = None,
        shares: Mapping[int, float] | None = None,
    ) -> None:
        self.size = size
        self._augment = augment or AugmentConfig()
        self._images = [_mirror_border(pad_to(image, size, size), self._augment.shift) for image in images]
        self._masks = [
            np.zeros(image.shape[:2], np.bool_) if mask is None else self._pad_mask(mask)
            for image, mask in zip(self._images, masks or [None] * len(images), strict=True)
        ]
        self._last_corners = np.array([(i.shape[0] - size, i.shape[1] - size) for i in self._images])
        targets = [np.argwhere(mask).astype(np.int32) for mask in self._masks]
        self._targets, self._counts = np.concatenate(targets), np.array([len(t) for t in targets])
        self._first = np.cumsum(self._counts) - self._counts
        # in proportion to area, so that every place of the product is equally likely
        areas = np.array([i.shape[0] * i.shape[1] for i in self._images], dtype=np.float64)
        self._probabilities = areas / areas.sum()
        if shares:
            least = np.zeros(len(areas))
            least[list(shares)] = list(shares.values())
            self._probabilities = least + (1 - least.sum()) * self._probabilities

    def draw(self, count: int, rng: np.random.Generator) -> Tensor:
        """`count` tiles, float32 [count, C, size, size] in [-1, 1]."""
        return to_tensor(self.tiles(count, rng))

    def draw_with_masks(self, count: int, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Tiles as `draw` gives them, float32 [count, C, size, size], and where they are abnormal.

        Also masks bool [count, 1, size, size], and known bool [count]: False where the image has no mask; the tile's
        mask is then empty.
        """
        crops = self._draw_crops(count, rng)
        masks = np.stack(crops.cut(self._masks, self.size))[:, None]
        known = self._counts[crops.images] > 0
        return to_tensor(self._cut(crops)), torch.from_numpy(masks), torch.from_numpy(known)

    def tiles(self, count: int, rng: np.random.Generator) -> UInt8:
        """Tiles as `draw` gives them, but as grey levels uint8 [count, size, size, C]."""
        return self._cut(self._draw_crops(count, rng))

    def _cut(self, crops: _Crops) -> UInt8:
        tiles = np.stack(crops.cut(self._images, self.size))
        if self._augment.brightness:
            levels = np.clip(np.rint(np.arange(256) * crops.factors[:, None]), 0, 255).astype(np.uint8)
            for tile, table in zip(tiles, levels, strict=True):
                cv2.LUT(tile, table, dst=tile)
        return tiles

    def _draw_crops(self, count: int, rng: np.random.Generator) -> _Crops:
        size, augment = self.size, self._augment
        chosen_images = rng.choice(len(self._images), size=count, p=self._probabilities)
        last_corners = self._last_corners[chosen_images]
        corners = rng.integers(0, last_corners + 1)
        if len(self._targets):  # around a random pixel of the mask, where there is a mask
            counts = self._counts[chosen_images]
            target = np.minimum(
                self._first[chosen_images] + rng.integers(0, np.maximum(counts, 1)), len(self._targets) - 1
            )
            centres = self._targets[target] + rng.integers(-size // 3, size // 3 + 1, size=(count, 2))
            corners = np.where(counts[:, None] > 0, np.clip(centres - size // 2, 0, last_corners), corners)
        steps = np.ones((count, 2), np.int64)
        if augment.flip:
            mirrored = rng.random((count, 2)) < 0.5
            steps[mirrored & [axis in augment.flip for axis in ("vertical", "horizontal")]] = -1
        factors = 1 + augment.brightness * rng.uniform(-1, 1, count) if augment.brightness else np.ones(count)
        return _Crops(chosen_images, corners, steps, factors)

    def _pad_mask(self, mask: Mask) -> Mask:
        """The mask padded and mirrored as its image is: a mirrored defect is a defect, too."""
        levels = mask.astype(np.uint8)[..., None]
        return _mirror_border(pad_to(levels, self.size, self.size), self._augment.shift)[..., 0].astype(np.bool_)


def to_tensor(tiles: UInt8) -> Tensor:
    """uint8 [N, S, S, C] -> float32 [N, C, S, S] in [-1, 1]."""
    return torch.from_numpy(to_model_range(tiles))


def prepare_mask(mask: Mask, prepared: UInt8) -> Mask:
    """The mask in the size of the prepared image [H, W, C]; a defect that shrinks keeps at least one pixel."""
    height, width = prepared.shape[:2]
    if mask.shape == (height, width):
        return mask
    scaled = cv2.resize(mask.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(scaled > min(0.25, float(scaled.max()) / 2))


def _mirror_border(image: UInt8, border: int) -> UInt8:
    """The image [H, W, C] with a mirrored border on each side, `border` px wide: tiles shift into it."""
    if not border:
        return image
    bordered = cv2.copyMakeBorder(image, border, border, border, border, cv2.BORDER_REFLECT_101)
    return np.asarray(bordered.reshape(*bordered.shape[:2], image.shape[2]))
