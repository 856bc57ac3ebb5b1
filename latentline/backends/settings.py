"""What a station file says of the search: which backend, and section `gpu`."""

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
    """How the backend `tensorrt` builds and runs its engines."""

    tensorrt: Flavour = "tensorrt"
    """Library that builds and runs the engines: `tensorrt` on a Jetson or a PC, `tensorrt_rtx` on a PC."""

    precision: Precision = "fp32"
    """`fp16` is faster and needs less memory. The station refuses it for a model whose scores it would change."""

    batch: int | None = Field(default=None, ge=1, le=256)
    """Most tiles of one frame that are searched at once. Unset: as many as suit the tile size, 16 at 64 px. [tiles]"""

    cache: Path | None = None
    """Folder that keeps the engines and compiled kernels. Unset: `latentline` in the user's cache folder."""

    workspace_mib: int = Field(default=1024, ge=16)
    """Most scratch memory that TensorRT may use while it builds and runs an engine. [MiB]"""

    def batch_for(self, tile_size: int) -> int:
        """The most tiles of `tile_size` px searched at a time."""
        return self.batch or max(1, min(16, _FULL_BATCH_PIXELS // tile_size**2))
