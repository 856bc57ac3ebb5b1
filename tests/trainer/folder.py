"""A small folder of synthetic images in the layout the trainer reads."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np


def write_folder(root: Path, train: int = 24, good: int = 8, defects: int = 8, side: int = 48) -> Path:
    """Stripes with noise; the defect is a bright square, with masks."""
    rng = np.random.default_rng(0)

    def stripes() -> np.ndarray:
        phase = rng.uniform(0, 6)
        row = 110 + 50 * np.sin(np.arange(side) / 3 + phase)
        return np.clip(row[None] + rng.normal(0, 4, (side, side)), 0, 255).astype(np.uint8)

    def write(path: Path, image: np.ndarray) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path), image)

    for index in range(train):
        write(root / "train" / "good" / f"{index:03}.png", stripes())
    for index in range(good):
        write(root / "test" / "good" / f"{index:03}.png", stripes())
    for index in range(defects):
        image, mask = stripes(), np.zeros((side, side), np.uint8)
        y, x = rng.integers(0, side - 10, 2)
        image[y : y + 10, x : x + 10], mask[y : y + 10, x : x + 10] = 250, 255
        write(root / "test" / "square" / f"{index:03}.png", image)
        write(root / "ground_truth" / "square" / f"{index:03}_mask.png", mask)
    return root


def tiny_config(root: Path, **schedule: object) -> dict[str, Any]:
    """The smallest training there is, as it would stand in a YAML."""
    return {
        "name": "tiny",
        "data": {"root": str(root), "known_abnormal_fraction": 0.5, "held_out_fraction": 0.5},
        "network": {"resolution": 32, "latent_size": 8, "fmap_base": 64, "fmap_max": 8},
        "schedule": {
            "fade_images": 16,
            "stable_images": 16,
            "final_images": 48,
            "batch": 8,
            "checkpoint_images": 1000,  # a checkpoint draws pictures, which takes longer than its training
            **schedule,
        },
        "search": {"iterations": 3, "gamma": 1.0 if schedule.get("discriminator_images") else 0.1},
    }
