"""Section `trunk` of a training file."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator

from latentline.base.strict_yaml import StrictModel

STRIDE = 32  # px; of the deepest features, so that every level's grid is whole
TIMM = "timm:"
NONE, LITE0 = "none", "efficientnet_lite0"


class TrunkConfig(StrictModel):
    """A frozen, pretrained network that sees the whole frame beside the search. Nothing of it is trained: `evaluate`
    and `latentline-export package` fit a Gaussian to its features of the normal training images, and a verdict to those
    of known defects, in seconds."""

    network: str = NONE
    """`none`; `efficientnet_lite0`, whose weights come with the extra `trunk`; or `timm:NAME`, a network of timm whose
    weights lie in the local cache of the Hugging Face hub. Nothing is downloaded."""

    height: int = Field(default=224, ge=64, le=2048, multiple_of=STRIDE)
    """Height of the whole frame as the trunk sees it, a multiple of 32. The raw frame is resized, without the
    `preprocessing`. [px]"""

    width: int = Field(default=224, ge=64, le=2048, multiple_of=STRIDE)
    """Width of the whole frame as the trunk sees it, a multiple of 32. [px]"""

    @property
    def wanted(self) -> bool:
        """Whether there is a trunk."""
        return self.network != NONE

    @field_validator("network")
    @classmethod
    def _known(cls, value: Any) -> Any:
        if value not in (NONE, LITE0) and not (value.startswith(TIMM) and len(value) > len(TIMM)):
            raise ValueError(f"give {NONE}, {LITE0} or {TIMM}NAME")
        return value
