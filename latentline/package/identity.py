"""Which model a station runs: what the birth message and every defect event say about it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ModelIdentity:
    """Name, hash and limits of the loaded model package.

    name           as the package's manifest says
    sha256         hex digest of the package: the same model has the same digest wherever it runs
    backend        the searcher that computes it, e.g. "openvino"
    threshold      anomaly score above which a frame is abnormal
    map_threshold  value of the anomaly map above which a pixel is a defect, standard deviations of normal frames
    channels       channels the model was trained on: 1 or 3
    tile_size      height and width of the square the model sees, pixels
    """

    name: str
    sha256: str
    backend: str
    threshold: float
    map_threshold: float
    channels: int
    tile_size: int
