"""selftest.npz: inputs for which a model's answers are known in float64. A station checks its own arithmetic with them.

A model that searches brings `SelfTest`, points of its search step; one that does not brings `ForwardTest`.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from latentline.package.arrays import check_arrays, read_arrays, write_arrays
from latentline.package.manifest import ModelSpec

_MOST_ROWS, _MOST_NUMBERS = 64, 40_000_000  # of a self-test; an export writes four rows
Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class SelfTest:
    """Points where the search step is known: z [K, L], x [K, C, H, W], fx [K, maps, 4, 4] -> loss [K], grad_z [K, L].

    `margin` [K]: distance of the nearest activation to a kink of leaky ReLU or |a|, relative to its layer's root mean
    square. Where it is below float32 resolution, a float32 gradient may legitimately take the other slope.
    """

    z: Float64
    x: Float64
    fx: Float64
    loss: Float64
    grad_z: Float64
    margin: Float64

    def to_bytes(self) -> bytes:
        """selftest.npz."""
        return write_arrays(asdict(self))


@dataclass(frozen=True)
class ForwardTest:
    """Images whose way through encoder and generator is known: x [K, C, H, W] -> z [K, L] -> image [K, C, H, W].

    z_log_variance [K, L], log_variance [K, C, H, W], logit [K] of D(x): None where the model has no such output.
    """

    x: Float64
    z: Float64
    image: Float64
    z_log_variance: Float64 | None = None
    log_variance: Float64 | None = None
    logit: Float64 | None = None

    def answers(self) -> dict[str, Float64]:
        """All that the model has to give for `x`, by name."""
        return {name: array for name, array in vars(self).items() if name != "x" and array is not None}

    def to_bytes(self) -> bytes:
        """selftest.npz."""
        return write_arrays({"x": self.x, **self.answers()})


def read_selftest(content: bytes, spec: ModelSpec, source: str) -> SelfTest | ForwardTest:
    """The self-test that a model of `spec` needs. Raises PackageError, naming `source`, for any other."""
    image = (spec.channels, spec.tile_size, spec.tile_size)
    row = 3 * math.prod(image) + 3 * spec.latent_size + math.prod(spec.feature_shape or (1,)) + 2
    arrays = read_arrays(content, source, min(_MOST_ROWS * row, _MOST_NUMBERS))
    k = arrays["x"].shape[0] if "x" in arrays and arrays["x"].ndim else 0
    shapes: dict[str, tuple[int | None, ...]] = {"x": (k, *image), "z": (k, spec.latent_size)}
    if spec.has_search_step:
        assert spec.feature_shape is not None
        latent, rows = (k, spec.latent_size), (k,)
        shapes |= {"fx": (k, *spec.feature_shape), "loss": rows, "grad_z": latent, "margin": rows}
        check_arrays(arrays, shapes, source)
        return SelfTest(**arrays)
    shapes["image"] = (k, *image)
    if spec.latent_variance:
        shapes["z_log_variance"] = (k, spec.latent_size)
    if spec.pixel_variance:
        shapes["log_variance"] = (k, *image)
    if spec.has_discriminator:
        shapes["logit"] = (k,)
    check_arrays(arrays, shapes, source)
    return ForwardTest(**arrays)
