"""A folder of small pictures with two that cannot be read."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np


def write_pictures(folder: Path, count: int, seed: int = 0) -> Path:
    """`count` grey pictures of 20 x 24 px in `folder`, numbered; returns it."""
    random = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        cv2.imwrite(str(folder / f"{i:03d}.png"), random.integers(0, 256, (20, 24), np.uint8))
    return folder
