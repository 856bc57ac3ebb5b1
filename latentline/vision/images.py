"""Read images from files, and recognise broken ones."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from latentline.errors import ImageError
from latentline.vision.bit_depth import BitDepth, Image, RawPicture, from_white, to_8_bit
from latentline.vision.picture_end import is_whole
from latentline.vision.picture_header import (
    DECODED_LIMIT,
    FILE_LIMIT,
    PIXEL_LIMIT,
    PictureHeader,
    picture_header,
)

HEADER_BYTES = 1 << 16  # in which the header of most pictures is
SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".jfif", ".jp2", ".bmp", ".tif", ".tiff", ".webp", ".pgm", ".ppm", ".pnm"}
)
# pictures that nobody reads here: whoever brings some must hear of it
UNREAD_SUFFIXES = frozenset(
    {".gif", ".heic", ".heif", ".avif", ".jxl", ".jxr", ".exr", ".hdr", ".psd", ".dcm", ".npy", ".pdf", ".svg"}
    | {".raw", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".mp4", ".avi", ".mov", ".mkv"}
)


def read_image(path: Path, bit_depth: BitDepth = "auto") -> npt.NDArray[np.uint8]:
    """The image at `path` as uint8 [H, W] (grey) or [H, W, 3] (BGR).

    bit_depth  of 16-bit files that do not define it; auto: 16
    Raises ImageError when the file is missing, cut short, not an image, far too large, or of another depth.
    """
    raw = read_raw(path)
    try:
        return to_8_bit(raw.image, bit_depth, raw.claimed)
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from None


def read_raw(path: Path) -> RawPicture:
    """The picture at `path`, with 16 bits where its file leaves open how many of them count.

    Raises ImageError when the file is missing, cut short, not an image, or far too large: a decoder gets no file that
    declares more than PIXEL_LIMIT or DECODED_LIMIT.
    """
    content = _content(path)
    if not is_whole(content):
        raise ImageError(f"{path}: the file is cut short; copy it again")
    header = picture_header(content)
    if header is None:
        raise ImageError(f"{path}: not an image that can be decoded")
    check_size(path, header)
    _check_levels(path, header)
    depth = cv2.IMREAD_ANYDEPTH if header.bits > 8 else 0
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_ANYCOLOR | depth)
    except cv2.error:
        image = None
    if image is None or image.dtype not in (np.uint8, np.uint16):
        raise ImageError(f"{path}: not an image that can be decoded")
    try:
        return _raw(image, header)
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from None


def holds_16_bits(path: Path) -> bool:
    """Whether the file declares more than eight bits a sample, by its header alone. Raises ImageError as `read_raw`."""
    header = picture_header(_content(path, HEADER_BYTES)) or picture_header(_content(path))
    return header is not None and header.bits > 8


def check_size(path: Path, header: PictureHeader) -> None:
    """Raise ImageError for a picture that is far too large to be decoded."""
    size = f"{header.width} x {header.height} px"
    if header.pixels > PIXEL_LIMIT:
        raise ImageError(
            f"{path}: declares {size}, more than {PIXEL_LIMIT / 1e6:.0f} million; no camera here takes such pictures"
        )
    if header.decoded_bytes > DECODED_LIMIT:
        raise ImageError(
            f"{path}: declares {size} of {header.channels} channels and {header.bits} bits, which take "
            f"{header.decoded_bytes >> 20} MiB, more than {DECODED_LIMIT >> 20}; no camera here takes such pictures"
        )


def _check_levels(path: Path, header: PictureHeader) -> None:
    """Raise ImageError for a picture whose grey levels mean nothing here."""
    if header.sample != "unsigned" or header.bits > 16:
        sort = "floating-point" if header.sample == "float" else f"{header.sample} whole"
        raise ImageError(
            f"{path}: its samples are {sort} numbers of {header.bits} bits, of which nobody says what white is; "
            "save it with 8 or 16 bits, unsigned"
        )
    if header.kind == "JPEG" and header.bits != 8:
        raise ImageError(f"{path}: a JPEG of {header.bits} bits cannot be decoded; save it as PNG or TIFF")
    if header.inverted and header.bits > 8:
        raise ImageError(f"{path}: a TIFF of {header.bits} bits whose zero is white; save it with zero as black")


def _raw(image: Image, header: PictureHeader) -> RawPicture:
    if header.white is not None:
        return RawPicture(from_white(image, header.white), defined=max(8, header.white.bit_length()))
    if header.kind == "TIFF" and 8 < header.bits < 16:  # the decoder has moved these bits to the upper end of 16
        return RawPicture(to_8_bit(image, 16), defined=header.bits)
    return RawPicture(image, header.claimed)


def _content(path: Path, most: int = FILE_LIMIT) -> bytes:
    """The file, or its first `most` bytes."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > FILE_LIMIT:
                raise ImageError(f"{path}: has {size >> 20} MiB, more than {FILE_LIMIT >> 20}; it is no picture")
            return file.read(most)
    except OSError as error:
        raise ImageError(f"{path}: cannot be read ({error.strerror})") from None


def mean_grey(image: npt.NDArray[np.uint8]) -> float:
    """Mean grey level 0 … 255 of a frame [H, W] or [H, W, C], all channels alike."""
    channels = 1 if image.ndim == 2 else image.shape[2]
    return float(sum(cv2.mean(image)[:channels]) / channels)


def list_images(folder: Path) -> list[Path]:
    """The images in `folder` itself, known by their suffix, sorted by name, without hidden files."""
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and not p.name.startswith("."))


def unread_pictures(folder: Path) -> list[Path]:
    """The files in `folder` whose suffix says that they are pictures of a kind that nobody reads here."""
    found = (path for path in sorted(folder.iterdir()) if path.suffix.lower() in UNREAD_SUFFIXES)
    return [path for path in found if not path.name.startswith(".") and not path.is_dir()]
