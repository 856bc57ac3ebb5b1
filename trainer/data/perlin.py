"""Perlin noise (Perlin 2002, with its smoother fade)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float32]


def perlin(size: int, cells: tuple[int, int], rng: np.random.Generator) -> Float:
    """Noise [size, size] in [-√½, √½], zero at the corners of `cells` (rows, columns), each at most `size`.

    The value at (y, x) is the sum over the corners of its cell of fade(y)·fade(x)·(slope · offset). Each term is a
    product of a factor in y and one in x, so that matrix products over all corners give the sum.
    """
    angles = rng.uniform(0, 2 * np.pi, (cells[0] + 1, cells[1] + 1)).astype(np.float32)
    (fade_y, ramp_y), (fade_x, ramp_x) = (_weights(size, count) for count in cells)
    noise: Float = ramp_y @ np.sin(angles) @ fade_x.T + fade_y @ np.cos(angles) @ ramp_x.T
    return noise


def _weights(size: int, cells: int) -> tuple[Float, Float]:
    """For each position and corner, [size, cells + 1]: the fade, and the fade times the offset from the corner."""
    position = np.arange(size, dtype=np.float32) * np.float32(cells / size)
    offset = position[:, None] - np.arange(cells + 1, dtype=np.float32)
    near = np.clip(1 - np.abs(offset), 0, 1)
    fade: Float = near**3 * (near * (6 * near - 15) + 10)
    return fade, fade * offset
