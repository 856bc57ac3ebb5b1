"""Which pixels of a mask's file are abnormal, however a label tool wrote them: 0 is normal, all else is abnormal."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from latentline.errors import ImageError
from latentline.vision.images import check_size
from latentline.vision.picture_end import is_whole
from latentline.vision.picture_header import FILE_LIMIT, picture_header

Mask = npt.NDArray[np.bool_]
# A JPEG has faint pixels around what was drawn: at quality 50 to 95 they stay below this share of the largest value.
COMPRESSION_SHARE = 1 / 4
PALETTE_FORMATS = ("PNG", "BMP", "TIFF")


def read_mask(path: Path) -> Mask:
    """The mask at `path`, bool [H, W] as the file stores it, True where it is not 0; a TIFF as its orientation says.

    Values may be 0 and 1, class ids, 16 bit, of a palette, or colours. What is transparent is normal, and being opaque
    is no defect; where nothing but transparency was drawn, what is not transparent is abnormal. Raises ImageError.
    """
    content = _content(path)
    indexed = _of_palette(content, path)
    if indexed is not None:
        return indexed
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        image = None
    if image is None:
        raise ImageError(f"{path}: not an image that can be decoded")
    values = np.nan_to_num(image) if image.dtype.kind == "f" else image
    values = values.reshape(*values.shape[:2], -1)
    has_alpha = values.shape[2] in (2, 4)
    colours = values[..., :-1] if has_alpha else values
    faintest = float(colours.max()) * COMPRESSION_SHARE if _is_lossy(content) else 0.0
    drawn: Mask = (colours > faintest).any(axis=2) if faintest else (colours != 0).any(axis=2)
    return _visible(drawn, values[..., -1] != 0) if has_alpha else drawn


def _content(path: Path) -> bytes:
    """The bytes of the file, once nothing speaks against decoding them."""
    try:
        if (size := path.stat().st_size) > FILE_LIMIT:
            raise ImageError(f"{path}: has {size >> 20} MiB, more than {FILE_LIMIT >> 20}; it is no mask")
        content = path.read_bytes()
    except OSError as error:
        raise ImageError(f"{path}: cannot be read ({error.strerror})") from None
    if not is_whole(content):
        raise ImageError(f"{path}: the file is cut short; copy it again")
    header = picture_header(content)
    if header is None:
        raise ImageError(f"{path}: not an image that can be decoded")
    check_size(path, header)
    return content


def _visible(drawn: Mask, opaque: Mask) -> Mask:
    """What was drawn and can be seen; an alpha channel that is the same everywhere says nothing."""
    if opaque.all() or not opaque.any():
        return drawn
    if (drawn & opaque).any():
        return drawn & opaque
    return drawn if drawn.any() else opaque


def _of_palette(content: bytes, path: Path) -> Mask | None:
    """The mask of a file with a palette, by its entries; None for any other file.

    Black is normal. Where nothing is black, entry 0 is normal, as tools write class ids in colours of their own.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of its own limit of pixels
            image = Image.open(io.BytesIO(content), formats=PALETTE_FORMATS)
            if image.mode not in ("P", "PA"):
                return None
            entries = np.asarray(image.getchannel(0) if image.mode == "PA" else image)
    except UnidentifiedImageError:
        return None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        raise ImageError(f"{path}: not an image that can be decoded") from None
    colours = np.array(image.getpalette("RGB") or [], np.uint8).reshape(-1, 3)
    used = np.unique(entries)
    black = [i for i in used.tolist() if i < len(colours) and not colours[i].any()]
    if len(colours) == 1 and not black:
        return np.ones(entries.shape, np.bool_)
    first_is_black = not colours[:1].any()
    return entries != 0 if first_is_black or not black else ~np.isin(entries, black)


def _is_lossy(content: bytes) -> bool:
    header = picture_header(content)
    kind = "" if header is None else header.kind
    return kind == "JPEG" or (kind == "WebP" and b"VP8L" not in content[:64])
