"""Random tiles of images, as the networks see them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from latentline.preprocessing import to_model_range
from latentline.tiles import pad_to
from trainer.data.settings import AugmentConfig

UInt8 = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class _Place:
    """Where a tile lies in which image, and what is done to it."""

    image: int
    y: int
    x: int
    horizontal: bool
    vertical: bool
    factor: float

    def cut(self, plane: npt.NDArray[np.generic], size: int) -> npt.NDArray[np.generic]:
        """The tile of an image [H, W, C], or of its mask [H, W]."""
        tile = plane[self.y : self.y + size, self.x : self.x + size]
        return tile[:: -1 if self.vertical else 1, :: -1 if self.horizontal else 1]


class CropSampler:
    """Draws random tiles of `size` px from prepared images; with masks, tiles that show something abnormal.

    images  uint8 [H, W, C], any sizes, held in memory
    masks   per image True where abnormal, in the image's size; None, or nowhere True: not known where
    """

    def __init__(
        self,
        images: Sequence[UInt8],
        size: int,
        augment: AugmentConfig | None = None,
        masks: Sequence[Mask | None] | None = None,
    ) -> None:
        self.size = size
        self._augment = augment or AugmentConfig()
        self._images = [_widen(pad_to(image, size), self._augment.shift) for image in images]
        self._masks = [None if m is None or not m.any() else self._fitted(m) for m in masks or [None] * len(images)]
        self._targets = [None if mask is None else np.argwhere(mask).astype(np.int32) for mask in self._masks]
        # an image is drawn as often as its area says, so that every place of the product is seen alike
        areas = np.array([i.shape[0] * i.shape[1] for i in self._images], dtype=np.float64)
        self._chances = areas / areas.sum()

    def draw(self, count: int, rng: np.random.Generator) -> Tensor:
        """`count` tiles, float32 [count, C, size, size] in [-1, 1]."""
        return to_tensor(self.tiles(count, rng))

    def draw_with_masks(self, count: int, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """The tiles that `draw` gives, and where they are abnormal.

        Gives tiles [count, C, size, size], masks [count, 1, size, size] bool, and known [count] bool: False where it is
        not known what of the tile is abnormal; its mask is then empty.
        """
        places = self._places(count, rng)
        masks = np.zeros((count, 1, self.size, self.size), np.bool_)
        known = np.zeros(count, np.bool_)
        for index, place in enumerate(places):
            mask = self._masks[place.image]
            if mask is not None:
                masks[index, 0], known[index] = place.cut(mask, self.size), True
        return to_tensor(self._cut(places)), torch.from_numpy(masks), torch.from_numpy(known)

    def tiles(self, count: int, rng: np.random.Generator) -> UInt8:
        """The tiles that `draw` gives as grey levels, uint8 [count, size, size, C]."""
        return self._cut(self._places(count, rng))

    def _cut(self, places: list[_Place]) -> UInt8:
        tiles: UInt8 = np.stack([p.cut(self._images[p.image], self.size) for p in places])
        if self._augment.brightness:
            factors = np.array([p.factor for p in places])[:, None]
            levels = np.clip(np.rint(np.arange(256) * factors), 0, 255).astype(np.uint8)
            tiles = np.stack([table[tile] for table, tile in zip(levels, tiles, strict=True)])
        return tiles

    def _places(self, count: int, rng: np.random.Generator) -> list[_Place]:
        picks = rng.choice(len(self._images), size=count, p=self._chances)
        return [self._place(int(pick), rng) for pick in picks]

    def _place(self, index: int, rng: np.random.Generator) -> _Place:
        image, target, size, augment = self._images[index], self._targets[index], self.size, self._augment
        last_y, last_x = image.shape[0] - size, image.shape[1] - size
        if target is None:
            y, x = int(rng.integers(0, last_y + 1)), int(rng.integers(0, last_x + 1))
        else:
            centre = target[rng.integers(len(target))] + rng.integers(-size // 3, size // 3 + 1, size=2)
            y, x = (int(np.clip(c - size // 2, 0, last)) for c, last in zip(centre, (last_y, last_x), strict=True))
        horizontal, vertical = (axis in augment.flip and rng.random() < 0.5 for axis in ("horizontal", "vertical"))
        factor = rng.uniform(1 - augment.brightness, 1 + augment.brightness) if augment.brightness else 1.0
        return _Place(index, y, x, horizontal, vertical, factor)

    def _fitted(self, mask: Mask) -> Mask:
        """The mask as its image is held; what is mirrored in was not drawn by anybody, but shows the same."""
        levels = mask.astype(np.uint8)[..., None]
        return _widen(pad_to(levels, self.size), self._augment.shift)[..., 0].astype(np.bool_)


def to_tensor(tiles: UInt8) -> Tensor:
    """uint8 [N, S, S, C] -> float32 [N, C, S, S] in [-1, 1]."""
    return torch.from_numpy(to_model_range(tiles))


def prepare_mask(mask: Mask, prepared: UInt8) -> Mask:
    """Mask in the size of the prepared image [H, W, C]; a defect that is scaled down keeps at least a pixel."""
    height, width = prepared.shape[:2]
    if mask.shape == (height, width):
        return mask
    scaled = cv2.resize(mask.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(scaled > min(0.25, float(scaled.max()) / 2))


def _widen(image: UInt8, border: int) -> UInt8:
    """The image [H, W, C] with `border` px mirrored on to each side: tiles that lie there are shifted ones."""
    if not border:
        return image
    widened = cv2.copyMakeBorder(image, border, border, border, border, cv2.BORDER_REFLECT_101)
    return np.asarray(widened.reshape(*widened.shape[:2], image.shape[2]))
