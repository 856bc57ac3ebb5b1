"""trunk.npz: the statistics of a trunk's features, the scales of its maps, and a picture with its features."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from latentline.errors import PackageError
from latentline.package.arrays import Float64, check_arrays, read_arrays, write_arrays
from latentline.scoring.frame_maps import MapScales
from latentline.trunk.packaged import PackagedTrunk, TrunkTest
from latentline.trunk.spec import TrunkSpec
from latentline.trunk.statistics import CELL, DISTANCE, VERDICT, TrunkStatistics

Float = npt.NDArray[np.float32]
_MOST_OTHER_NUMBERS = 10_000  # direction and scales


def trunk_to_bytes(trunk: PackagedTrunk) -> bytes:
    """The content of trunk.npz, for `read_trunk`."""
    statistics, scales = trunk.statistics, trunk.scales.scales
    optional = {f"{name}_scale": np.array(scale) for name, scale in scales.items()}
    if statistics.direction is not None:
        optional["direction"] = statistics.direction
    return write_arrays(
        {
            "mean": statistics.mean,
            "whitening": statistics.whitening,
            "test_image": trunk.test.image,
            "test_features": trunk.test.features,
            **optional,
        }
    )


def read_trunk(content: bytes, graph: bytes, spec: TrunkSpec, source: str) -> PackagedTrunk:
    """The trunk of trunk.npz and trunk.onnx.

    Raises PackageError, naming `source`, when arrays are missing, of another shape, not finite, or not positive where
    they must be.
    """
    channels, (height, width) = spec.features, spec.grid
    cells = max(1, height // CELL * (width // CELL))
    picture = math.prod((spec.input_channels, spec.height, spec.width))
    most = cells * channels**2 + 3 * channels * height * width + picture + _MOST_OTHER_NUMBERS
    arrays = read_arrays(content, source, most)
    kind = spec.gaussian.trials[0].kind
    if kind == "cells" and (height % CELL or width % CELL):
        raise PackageError(f"{source}: {height} x {width} positions make no whole cells; export the package again")
    shapes: dict[str, tuple[int | None, ...]] = {
        "mean": (channels, 1, 1) if kind == "shared" else (channels, height, width),
        "whitening": (height // CELL * (width // CELL) if kind == "cells" else 1, channels, channels),
        "test_image": (1, spec.input_channels, spec.height, spec.width),
        "test_features": (channels, height, width),
    }
    names = (DISTANCE, VERDICT) if spec.verdict is not None else (DISTANCE,)
    if spec.verdict is not None:
        shapes["direction"] = (channels,)
    shapes |= {f"{name}_scale": (2,) for name in names if f"{name}_scale" in arrays}
    check_arrays(arrays, shapes, source)
    scales = {name: _scale(arrays, name, source) for name in names if f"{name}_scale" in arrays}
    if not scales:
        raise PackageError(f"{source}: no map of the trunk has a scale; export the package again")
    if (np.diagonal(arrays["whitening"], axis1=1, axis2=2) <= 0).any():
        raise PackageError(f"{source}: 'whitening' is not positive on its diagonal; export the package again")
    return PackagedTrunk(
        network=spec,
        graph=graph,
        test=TrunkTest(arrays["test_image"].astype(np.uint8), arrays["test_features"].astype(np.float32)),
        spec=spec,
        statistics=_statistics(arrays, spec),
        scales=MapScales(scales),
    )


def _scale(arrays: dict[str, Float64], name: str, source: str) -> tuple[float, float]:
    mean, std = arrays[f"{name}_scale"].tolist()
    if std <= 0:
        raise PackageError(f"{source}: '{name}_scale' is not positive; export the package again")
    return mean, std


def _statistics(arrays: dict[str, Float64], spec: TrunkSpec) -> TrunkStatistics:
    mean, whitening = (arrays[name].astype(np.float32) for name in ("mean", "whitening"))
    if spec.verdict is None:
        return TrunkStatistics(mean, whitening)
    return TrunkStatistics(mean, whitening, arrays["direction"].astype(np.float32), spec.verdict.masks)
