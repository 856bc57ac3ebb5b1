"""Section `trunk` of a manifest: which pretrained network sees the frame, and what was fitted to its features."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from latentline.base.strict_yaml import StrictModel
from latentline.trunk.gaussian import GaussianChoice
from latentline.trunk.verdict import VerdictFit


class TrunkNetwork(StrictModel):
    """What trunk.onnx is.

    network         the name that the training file gave
    licence         of the weights, as those who published them state it
    weights_sha256  of the file with the weights
    height, width   of the whole frame as the trunk sees it, px
    input_channels  3: RGB; 1: grey
    features        C of its features [C, h, w], drawn with a fixed seed from several levels
    grid            [h, w]
    """

    network: str = Field(min_length=1)
    licence: str
    weights_sha256: str
    height: int = Field(ge=32, le=2048)
    width: int = Field(ge=32, le=2048)
    input_channels: Literal[1, 3] = 3
    features: int = Field(ge=1, le=4096)
    grid: tuple[int, int]


class TrunkSpec(TrunkNetwork):
    """Section `trunk` of a manifest.

    gaussian  why the Gaussian of normal features is of its kind
    verdict   what the verdict was fitted to; None: there is none, or it has no weight
    """

    gaussian: GaussianChoice
    verdict: VerdictFit | None = None
