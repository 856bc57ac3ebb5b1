"""calibration.npz: pixel statistics, and the normal scores behind the threshold."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from latentline.errors import PackageError
from latentline.package.arrays import check_arrays, read_arrays, write_arrays
from latentline.package.manifest import Manifest
from latentline.scoring.maps import PixelStatistics

Float64 = npt.NDArray[np.float64]


def calibration_to_bytes(
    statistics: PixelStatistics, normal_scores: Float64, normal_brightness: Float64 | None
) -> bytes:
    """calibration.npz."""
    optional = {} if normal_brightness is None else {"normal_brightness": normal_brightness}
    if statistics.local is not None:
        optional["local"] = np.array(statistics.local)
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


def _calibration(content: bytes, spec: Manifest, source: str) -> tuple[PixelStatistics, Float64, Float64 | None]:
    arrays = read_arrays(content, source)
    tile = (spec.channels, spec.tile_size, spec.tile_size)
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
    if "local" in arrays and spec.local_shape is not None:
        shapes["local"] = (2,)
    check_arrays(arrays, shapes, source)
    local = arrays.get("local")
    spreads = {"residual_std": arrays["residual_std"], "pooled_std": arrays["pooled_std"]}
    if local is not None:
        spreads["local"] = local[1:]
    for name, values in spreads.items():
        if (values <= 0).any():
            raise PackageError(f"{source}: '{name}' is not positive everywhere; export the package again")
    if (arrays["scales"] < 0).any():
        raise PackageError(f"{source}: 'scales' holds a negative one; export the package again")
    statistics = PixelStatistics(
        mean=arrays["residual_mean"].astype(np.float32),
        std=arrays["residual_std"].astype(np.float32),
        scales=tuple(arrays["scales"].tolist()),
        pooled_std=arrays["pooled_std"].astype(np.float32),
        kind=spec.map,
        local=None if local is None else (float(local[0]), float(local[1])),
    )
    return statistics, arrays["normal_scores"], arrays.get("normal_brightness")
