"""Arrays of a model package: .npz files in memory, read and written as bytes."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from latentline.errors import PackageError
from latentline.package.files import read_zip, zipped

_HEADERS = 1 << 16  # bytes of all headers together
Float64 = npt.NDArray[np.float64]


def read_arrays(content: bytes, source: str, limit: int) -> dict[str, Float64]:
    """Arrays of an .npz as float64, by name. Raises PackageError. Pickled objects are refused.

    limit  numbers in all arrays together: an .npz that declares more is refused before anything is unpacked
    """
    _check_declared(content, source, limit)
    arrays: dict[str, Float64] = {}
    for name, data in read_zip(content, source, 8 * limit + _HEADERS).items():
        try:
            array = np.load(io.BytesIO(data), allow_pickle=False)
            arrays[name.removesuffix(".npy")] = array.astype(np.float64, casting="safe")
        except (ValueError, TypeError, EOFError, OSError, MemoryError) as error:
            raise PackageError(
                f"{source}: {name!r} is not an array of numbers ({error}); export the package again"
            ) from None
    return arrays


def _check_declared(content: bytes, source: str, limit: int) -> None:
    """Raise PackageError when the headers declare more than `limit` numbers, or other sizes than those of the files."""
    numbers = 0
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for info in archive.infolist():
                with archive.open(info) as file:
                    version = np.lib.format.read_magic(file)
                    read = (
                        np.lib.format.read_array_header_1_0 if version[0] == 1 else np.lib.format.read_array_header_2_0
                    )
                    shape, _, dtype = read(file)
                    declared = math.prod(shape)
                    if not dtype.hasobject and file.tell() + declared * dtype.itemsize != info.file_size:
                        raise ValueError(f"its shape {list(shape)} does not fit its {info.file_size} bytes")
                numbers += declared
                if numbers > limit:
                    raise PackageError(
                        f"{source}: holds {numbers} numbers or more, and this model needs {limit} at most; "
                        "do not use this file"
                    )
    except PackageError:
        raise
    except Exception as error:  # whatever zipfile and NumPy raise for bytes of another kind
        raise PackageError(f"{source}: not an array of numbers ({error!s:.100}); export the package again") from None


def write_arrays(arrays: Mapping[str, npt.NDArray[Any]]) -> bytes:
    """The bytes of an .npz that depends on names and numbers alone."""
    files: dict[str, bytes] = {}
    for name, array in arrays.items():
        buffer = io.BytesIO()
        np.save(buffer, array, allow_pickle=False)
        files[f"{name}.npy"] = buffer.getvalue()
    return zipped(files)


def check_arrays(arrays: Mapping[str, Float64], shapes: Mapping[str, tuple[int | None, ...]], source: str) -> None:
    """Check names and shapes (None: any length), and that every array is finite and not empty. Raises PackageError."""
    for name in sorted(set(arrays) ^ set(shapes)):
        state = "missing" if name in shapes else "unknown"
        raise PackageError(f"{source}: array '{name}' is {state}; export the package again")
    for name, shape in shapes.items():
        given = arrays[name].shape
        fits = len(given) == len(shape) and all(b in (None, a) for a, b in zip(given, shape, strict=True))
        if not fits or not arrays[name].size or not np.isfinite(arrays[name]).all():
            raise PackageError(
                f"{source}: '{name}' {list(given)} does not fit the manifest or is not finite; export the package again"
            )
