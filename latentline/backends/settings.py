"""What a station's configuration says of the search: which backend, and section `gpu`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from latentline.base.strict_yaml import StrictModel

Backend = Literal["auto", "openvino", "tensorrt"]
Precision = Literal["fp32", "fp16"]
Flavour = Literal["tensorrt", "tensorrt_rtx"]

_FULL_BATCH_PIXELS = 1 << 16  # 16 tiles of 64 px, 4 of 128, 1 of 256: a larger tile fills the GPU alone


class GpuSettings(StrictModel):
    """What the tensorrt backend builds.

    tensorrt       which module builds and runs: tensorrt (Jetson and PC), or tensorrt_rtx (PC)
    precision      fp32, or fp16: faster and smaller; refused where it would move the score
    batch          the most tiles of a frame that are searched at a time; unset: as suits the tile size
    cache          folder of engines and compiled kernels; unset: the user's cache folder
    workspace_mib  TensorRT's limit of scratch memory while it builds and runs
    """

    tensorrt: Flavour = "tensorrt"
    precision: Precision = "fp32"
    batch: int | None = Field(default=None, ge=1, le=256)
    cache: Path | None = None
    workspace_mib: int = Field(default=1024, ge=16)

    def batch_for(self, tile_size: int) -> int:
        """The most tiles of `tile_size` px searched at a time."""
        return self.batch or max(1, min(16, _FULL_BATCH_PIXELS // tile_size**2))
