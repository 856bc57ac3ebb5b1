"""Section `network` of a training file."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from latentline.base.strict_yaml import StrictModel


class NetworkConfig(StrictModel):
    """Size of the networks."""

    resolution: int = Field(default=64, ge=32, le=1024)
    """Side of a tile, a power of two. [px]"""

    latent_size: int = Field(default=128, ge=2, le=1024)
    """Length of the latent vector z."""

    patch_size: Literal[1, 2, 4] = 1
    """GANs: side of the square that the outermost layers take as one position. 2 makes a search on a CPU about twice as
    fast and 4 two and a half times, with coarser detail. [px]"""

    fmap_base: int = Field(default=1024, ge=16)
    """GANs: layers with r positions a side have 2·`fmap_base` / r feature maps, as far as `fmap_max` allows."""

    fmap_max: int = Field(default=64, ge=4, le=1024)
    """GANs: most feature maps of a layer."""

    autoencoder_width: int = Field(default=32, ge=4, le=256)
    """Autoencoders: feature maps of the outermost layers; layers inside have up to four times as many. Bergmann et al.
    use 32."""

    @field_validator("resolution")
    @classmethod
    def _power_of_two(cls, value: int) -> int:
        if value & (value - 1):
            raise ValueError("resolution must be a power of two")
        return value

    @model_validator(mode="after")
    def _enough_maps(self) -> NetworkConfig:
        # pixel norm over one map leaves nothing but its sign, and no gradient
        if 2 * self.fmap_base // (self.resolution // self.patch_size) < 4:
            raise ValueError(f"fmap_base {self.fmap_base} leaves fewer than 4 feature maps at {self.resolution} px")
        return self
