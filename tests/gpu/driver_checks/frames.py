"""The packages and frames that the driver checks run with, and when two results are the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

import edge_runtime.tools.demo
from latentline.inspection.reconstructor import ReconstructedFrame
from latentline.package.model_package import ModelPackage, load_package

UInt8 = npt.NDArray[np.uint8]
DEMO = Path(edge_runtime.tools.demo.__file__).parent / "model"


def demo(iterations: int = 10) -> ModelPackage:
    """The demo's package at any size of frame, with a search of so many iterations in the place of its own."""
    package = load_package(DEMO).with_iterations(iterations)
    preprocessing = package.manifest.preprocessing.model_copy(update={"height": None})
    changed = package.manifest.model_copy(update={"preprocessing": preprocessing})
    return replace(package, spec=changed, manifest=changed)


def tiled(package: ModelPackage, down: int, across: int, seed: int = 3) -> UInt8:
    """A frame of noise, uint8 [H, W, C], that exactly down x across tiles cover."""
    size = package.spec.tile_size
    step = size - round(size * package.tiler.overlap)
    shape = (size + (down - 1) * step, size + (across - 1) * step, package.spec.channels)
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def same_bits(one: ReconstructedFrame, other: ReconstructedFrame) -> bool:
    """Whether score components, map and reconstruction are equal to the last bit.

    The map alone is no witness: where D's patch head decides it, it does not depend on the search.
    """
    pairs = ((one.anomaly_map, other.anomaly_map), (one.reconstruction, other.reconstruction))
    return one.values == other.values and all(np.array_equal(a, b) for a, b in pairs)
