"""What an image shows, as a hash: the same for the same pixels, whatever file they come from."""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt


def pixel_hash(image: npt.NDArray[np.uint8]) -> str:
    """SHA-256, in hex, of an image uint8 [H, W], [H, W, 1] or [H, W, 3]: of its size and its pixels.

    A colour image whose channels are equal has the hash of the grey one.
    """
    if image.ndim == 3 and (image.shape[2] == 1 or (image == image[:, :, :1]).all()):
        image = image[:, :, 0]
    digest = hashlib.sha256("x".join(map(str, image.shape)).encode())
    digest.update(np.ascontiguousarray(image).data)
    return digest.hexdigest()


def short_hash(image: npt.NDArray[np.uint8]) -> str:
    """The first 16 digits of `pixel_hash`: enough to recognise one image among millions."""
    return shortened(pixel_hash(image))


def shortened(content: str) -> str:
    """The short hash of an image by its `pixel_hash`."""
    return content[:16]
