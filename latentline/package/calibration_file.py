"""calibration.npz: pixel statistics, and the normal scores behind the threshold."""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np
import numpy.typing as npt

from latentline.errors import PackageError
from latentline.package.arrays import check_arrays, read_arrays, write_arrays
from latentline.scoring.maps import PixelStatistics
from latentline.search.searched_frame import MapKind

_MOST_OTHER_NUMBERS = 2_000_000  # scores and grey levels of a million normal frames
Float64 = npt.NDArray[np.float64]


class CalibratedModel(Protocol):
    """What the arrays must fit; a `Manifest` says it."""

    @property
    def channels(self) -> int:
        """Of a tile."""
        ...

    @property
    def tile_size(self) -> int:
        """Pixels a side."""
        ...

    @property
    def patch_shape(self) -> tuple[int, int] | None:
        """[h, w] of the patch head's logits; None: no patch head."""
        ...

    @property
    def map(self) -> MapKind:
        """The kind of the anomaly map."""
        ...


def calibration_to_bytes(
    statistics: PixelStatistics, normal_scores: Float64, normal_brightness: Float64 | None
) -> bytes:
    """The content of calibration.npz, for `read_calibration`."""
    optional = {} if normal_brightness is None else {"normal_brightness": normal_brightness}
    if statistics.patch_statistics is not None:
        optional["patch_statistics"] = np.array(statistics.patch_statistics)
    return write_arrays(
        {
            "residual_mean": statistics.mean,
            "residual_std": statistics.std,
            "scales": np.array(statistics.scales),
            "pooled_std": statistics.pooled_std,
            "normal_scores": normal_scores,
            **optional,
        }
    )


def read_calibration(
    content: bytes, spec: CalibratedModel, source: str
) -> tuple[PixelStatistics, Float64, Float64 | None]:
    """Pixel statistics, normal scores [n] and mean grey levels [n] (None: not recorded) from calibration.npz.

    Raises PackageError, naming `source`, when arrays are missing, of another shape, not finite or not positive.
    """
    tile = (spec.channels, spec.tile_size, spec.tile_size)
    arrays = read_arrays(content, source, 2 * math.prod(tile) + _MOST_OTHER_NUMBERS)
    scales = arrays["scales"].size if "scales" in arrays else 0
    shapes: dict[str, tuple[int | None, ...]] = {
        "residual_mean": tile,
        "residual_std": tile,
        "scales": (scales,),
        "pooled_std": (scales,),
        "normal_scores": (None,),
    }
    if "normal_brightness" in arrays:
        shapes["normal_brightness"] = arrays["normal_scores"].shape if "normal_scores" in arrays else ()
    if "patch_statistics" in arrays and spec.patch_shape is not None:
        shapes["patch_statistics"] = (2,)
    check_arrays(arrays, shapes, source)
    patch_statistics = arrays.get("patch_statistics")
    spreads = {"residual_std": arrays["residual_std"], "pooled_std": arrays["pooled_std"]}
    if patch_statistics is not None:
        spreads["patch_statistics"] = patch_statistics[1:]
    for name, values in spreads.items():
        if (values <= 0).any():
            raise PackageError(f"{source}: '{name}' is not positive everywhere; export the package again")
    if (arrays["scales"] < 0).any():
        raise PackageError(f"{source}: a value of 'scales' is negative; export the package again")
    statistics = PixelStatistics(
        mean=arrays["residual_mean"].astype(np.float32),
        std=arrays["residual_std"].astype(np.float32),
        scales=tuple(arrays["scales"].tolist()),
        pooled_std=arrays["pooled_std"].astype(np.float32),
        kind=spec.map,
        patch_statistics=None if patch_statistics is None else (float(patch_statistics[0]), float(patch_statistics[1])),
    )
    return statistics, arrays["normal_scores"], arrays.get("normal_brightness")
