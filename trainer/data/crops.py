"""Random tiles of images, as the networks see them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from latentline.preprocessing import Preprocessing, to_model_range
from latentline.tiles import pad_to

UInt8 = npt.NDArray[np.uint8]
Flip = Literal["horizontal", "vertical"]


class CropSampler:
    """Draws random tiles of `size` px from prepared images; with masks, tiles that show something abnormal.

    images  uint8 [H, W, C], any sizes, held in memory
    masks   per image True where abnormal, in the image's size; None: anywhere
    """

    def __init__(
        self,
        images: Sequence[UInt8],
        size: int,
        flip: Sequence[Flip] = (),
        masks: Sequence[npt.NDArray[np.bool_] | None] | None = None,
    ) -> None:
        self._images = [pad_to(image, size) for image in images]
        self._targets = [None if m is None or not m.any() else np.argwhere(m) for m in masks or [None] * len(images)]
        # an image is drawn as often as its area says, so that every place of the product is seen alike
        areas = np.array([i.shape[0] * i.shape[1] for i in self._images], dtype=np.float64)
        self._chances = areas / areas.sum()
        self._size, self._flip = size, tuple(flip)

    def draw(self, count: int, rng: np.random.Generator) -> Tensor:
        """`count` tiles, float32 [count, C, size, size] in [-1, 1]."""
        picks = rng.choice(len(self._images), size=count, p=self._chances)
        return torch.from_numpy(to_model_range(np.stack([self._tile(int(i), rng) for i in picks])))

    def _tile(self, index: int, rng: np.random.Generator) -> UInt8:
        image, target, size = self._images[index], self._targets[index], self._size
        last = np.array(image.shape[:2]) - size
        if target is None:
            y, x = rng.integers(0, last + 1)
        else:
            centre = target[rng.integers(len(target))] + rng.integers(-size // 3, size // 3 + 1, size=2)
            y, x = np.clip(centre - size // 2, 0, last)
        tile = image[y : y + size, x : x + size]
        if "horizontal" in self._flip and rng.random() < 0.5:
            tile = tile[:, ::-1]
        if "vertical" in self._flip and rng.random() < 0.5:
            tile = tile[::-1]
        return tile


def prepare_mask(mask: npt.NDArray[np.bool_], prepared: UInt8) -> npt.NDArray[np.bool_]:
    """Mask in the size of the prepared image [H, W, C]; a defect that is scaled down keeps at least a pixel."""
    height, width = prepared.shape[:2]
    if mask.shape == (height, width):
        return mask
    scaled = cv2.resize(mask.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(scaled > min(0.25, float(scaled.max()) / 2))


def prepare_all(images: Sequence[UInt8], preprocessing: Preprocessing) -> list[UInt8]:
    """Every image as the model sees it, uint8 [h, w, C]."""
    return [preprocessing.apply(image) for image in images]
