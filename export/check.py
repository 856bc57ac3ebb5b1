"""One comparison of a package's numbers with float64."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

TOLERANCE = 1e-4
Float = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Check:
    """One comparison.

    what      was compared with what
    error     largest relative error over the points
    points    compared
    resolved  points so far from a kink that `TOLERANCE` applies
    """

    what: str
    error: float
    passed: bool
    points: int
    resolved: int


def compare(what: str, found: Float | Float64, true: Float64) -> Check:
    """Compare arrays of as many rows as there are points, by the relative error of all together."""
    error = float(np.linalg.norm(found - true) / np.linalg.norm(true))
    return Check(what, error, error <= TOLERANCE, len(true), len(true))
