"""The idx files of MNIST, plain or gzipped."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from latentline.errors import DatasetError
from latentline.vision.picture_header import DECODED_LIMIT

UInt8 = npt.NDArray[np.uint8]


def read_idx(folder: Path, name: str, item: tuple[int, ...]) -> UInt8:
    """The array [N, *item] of bytes in the file `name`, or `name`.gz, of `folder`.

    Raises DatasetError when there is no such file, or it is not idx, too short, too long or holds other items.
    """
    path = next((p for p in (folder / name, folder / f"{name}.gz") if p.is_file()), None)
    if path is None:
        raise DatasetError(
            f"{folder / name}: there is no such file, and no {name}.gz; copy the four files of MNIST there"
        )
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            header = file.read(4 + 4 * (1 + len(item)))
            shape = _shape(header, path, item)
            expected = int(np.prod(shape, dtype=np.int64))
            content = file.read(expected + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DatasetError(f"{path}: cannot be read ({error}); copy it again") from None
    if len(content) != expected:
        state = "is cut short" if len(content) < expected else "holds more than its header says"
        raise DatasetError(f"{path}: the file {state}; copy it again")
    return np.frombuffer(content, np.uint8).reshape(shape)


def _shape(header: bytes, path: Path, item: tuple[int, ...]) -> tuple[int, ...]:
    axes = 1 + len(item)
    if header[:4] != bytes((0, 0, 8, axes)):  # 8: unsigned bytes
        raise DatasetError(f"{path}: not an idx file of bytes with {axes} axes; copy the original")
    shape = tuple(int(n) for n in np.frombuffer(header[4:], ">u4")) if len(header) == 4 + 4 * axes else ()
    if not shape or shape[1:] != item or not 0 < int(np.prod(shape, dtype=np.int64)) <= DECODED_LIMIT:
        raise DatasetError(f"{path}: its header does not describe items of the shape {item}; copy the original")
    return shape
