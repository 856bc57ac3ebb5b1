"""Pretrained networks as what a trunk needs of them: feature maps of several strides, and how the input is scaled."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from latentline.errors import BackendError


@dataclass(frozen=True)
class PretrainedLevels:
    """A frozen network in eval mode.

    module          pictures float32 [N, channels, H, W], scaled -> feature maps, one for each of `strides`
    strides         px of the picture between two positions of a map: 8, 16 or 32; 16 is among them
    widths          channels of each map
    input_channels  3: RGB; 1: grey
    mean, std       grey levels 0 … 255 by which each input channel is scaled
    licence         of the weights
    weights_sha256  of their file
    """

    module: nn.Module
    strides: tuple[int, ...]
    widths: tuple[int, ...]
    input_channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    licence: str
    weights_sha256: str


def sha256_of(path: Path) -> str:
    """The digest of a file of weights. Raises BackendError when it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise BackendError(
            f"{path}: the trunk's weights cannot be read ({error.strerror}); install them again"
        ) from None
