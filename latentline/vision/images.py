"""Read images from files, and recognise broken ones."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from latentline.errors import ImageError

Image = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})
# A decoder silently fills the missing rest of a file with grey. These formats end with a mark.
_END_MARKS = {b"\xff\xd8\xff": b"\xff\xd9", b"\x89PNG": b"IEND"}


def read_image(path: Path) -> npt.NDArray[np.uint8]:
    """The image at `path` as uint8 [H, W] (grey) or [H, W, 3] (BGR).

    Raises ImageError when the file is missing, cut short or not an image.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ImageError(f"{path}: cannot be read ({error.strerror})") from None
    for start, end in _END_MARKS.items():
        if content.startswith(start) and end not in content[-64:]:
            raise ImageError(f"{path}: the file is cut short; copy it again")
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_ANYCOLOR) if content else None
    except cv2.error:
        image = None
    if image is None:
        raise ImageError(f"{path}: not an image that can be decoded")
    return np.asarray(image, dtype=np.uint8)


def mean_grey(image: npt.NDArray[np.uint8]) -> float:
    """Mean grey level 0 … 255 of a frame [H, W] or [H, W, C], all channels alike."""
    channels = 1 if image.ndim == 2 else image.shape[2]
    return float(sum(cv2.mean(image)[:channels]) / channels)


def list_images(folder: Path) -> list[Path]:
    """The images in `folder` itself, known by their suffix, sorted by name, without hidden files."""
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and not p.name.startswith("."))


def to_8_bit(image: Image) -> npt.NDArray[np.uint8]:
    """A 16-bit image by its upper eight bits, as `read_image` reads a 16-bit file; any other array as it is."""
    if isinstance(image, np.ndarray) and image.dtype == np.uint16:
        return (image >> 8).astype(np.uint8)
    return image  # type: ignore[return-value]  # preprocessing refuses other types, with a sentence
