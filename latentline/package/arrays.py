"""Arrays of a model package: .npz files in memory, read and written as bytes."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from latentline.errors import PackageError
from latentline.package.files import read_zip, zipped

Float64 = npt.NDArray[np.float64]


def read_arrays(content: bytes, source: str) -> dict[str, Float64]:
    """Arrays of an .npz as float64, by name. Raises PackageError. Pickled objects are refused."""
    arrays: dict[str, Float64] = {}
    for name, data in read_zip(content, source).items():
        try:
            array = np.load(io.BytesIO(data), allow_pickle=False)
            arrays[name.removesuffix(".npy")] = array.astype(np.float64, casting="safe")
        except (ValueError, TypeError, EOFError, OSError, MemoryError) as error:
            raise PackageError(
                f"{source}: {name!r} is not an array of numbers ({error}); export the package again"
            ) from None
    return arrays


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
