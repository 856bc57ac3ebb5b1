"""Read images from files, and recognise broken ones."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from latentline.errors import ImageError
from latentline.vision.picture_end import is_whole
from latentline.vision.picture_header import FILE_LIMIT, PIXEL_LIMIT, picture_header

Image = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".jfif", ".jp2", ".bmp", ".tif", ".tiff", ".webp"})


def read_image(path: Path) -> npt.NDArray[np.uint8]:
    """The image at `path` as uint8 [H, W] (grey) or [H, W, 3] (BGR).

    Raises ImageError when the file is missing, cut short, not an image, or far too large: a decoder gets no file that
    declares more pixels than PIXEL_LIMIT.
    """
    content = _content(path)
    if not is_whole(content):
        raise ImageError(f"{path}: the file is cut short; copy it again")
    header = picture_header(content)
    if header is None:
        raise ImageError(f"{path}: not an image that can be decoded")
    if header.width * header.height > PIXEL_LIMIT:
        raise ImageError(
            f"{path}: declares {header.width} x {header.height} px, more than {PIXEL_LIMIT / 1e6:.0f} million; "
            "no camera here takes such pictures"
        )
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_ANYCOLOR)
    except cv2.error:
        image = None
    if image is None:
        raise ImageError(f"{path}: not an image that can be decoded")
    return np.asarray(image, dtype=np.uint8)


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > FILE_LIMIT:
                raise ImageError(f"{path}: has {size >> 20} MiB, more than {FILE_LIMIT >> 20}; it is no picture")
            return file.read(FILE_LIMIT)
    except OSError as error:
        raise ImageError(f"{path}: cannot be read ({error.strerror})") from None


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
