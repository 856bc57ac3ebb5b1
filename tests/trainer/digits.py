"""Small files in MNIST's format, written from the format's description."""

import gzip
import struct
from pathlib import Path

import numpy as np


def write_mnist(root: Path, each_train: int = 40, each_test: int = 12, compress: bool = True) -> Path:
    """So many images of each digit; every pixel of digit d has a level of 20·d … 20·d + 9."""
    rng = np.random.default_rng(0)
    root.mkdir(parents=True, exist_ok=True)
    for prefix, each in (("train", each_train), ("t10k", each_test)):
        labels = rng.permutation(np.repeat(np.arange(10), each))
        images = 20 * labels[:, None, None] + rng.integers(0, 10, (len(labels), 28, 28))
        write_idx(root / f"{prefix}-labels-idx1-ubyte", labels.astype(np.uint8), compress)
        write_idx(root / f"{prefix}-images-idx3-ubyte", images.astype(np.uint8), compress)
    return root


def write_idx(path: Path, array: np.ndarray, compress: bool = False) -> None:
    """Magic 0x08 and the number of axes, big-endian sizes, bytes."""
    content = struct.pack(f">I{array.ndim}I", 0x800 + array.ndim, *array.shape) + array.tobytes()
    if compress:
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(content))
    else:
        path.write_bytes(content)
