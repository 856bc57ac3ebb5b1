"""A small MNIST."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np


def write_digits(root: Path) -> Path:
    """MNIST's four files with forty images of noise for each digit."""
    root.mkdir()
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(10, dtype=np.uint8), 40)
    images = rng.integers(0, 256, (len(labels), 28, 28), dtype=np.uint8)
    for prefix in ("train", "t10k"):
        head = np.array([0x803, len(labels), 28, 28], ">i4").tobytes()
        (root / f"{prefix}-images-idx3-ubyte.gz").write_bytes(gzip.compress(head + images.tobytes()))
        head = np.array([0x801, len(labels)], ">i4").tobytes()
        (root / f"{prefix}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(head + labels.tobytes()))
    return root
