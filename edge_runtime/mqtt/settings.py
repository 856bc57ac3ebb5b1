"""`pictures:` of a station's YAML."""

from __future__ import annotations

from pydantic import Field

from latentline.strict_config import StrictModel

SMALLEST_SIDE = 16  # px; a smaller picture shows nothing


class PictureSection(StrictModel):
    """Pictures of defects on cam/{id}/picture; QoS 0, not kept while there is no connection.

    margin        pixels of the frame around the defect's box, as a share of the box's longer side
    longest_side  pixels; a larger crop is scaled down
    quality       of the JPEG, 1 … 100; lowered as far as `max_bytes` needs
    max_bytes     of one picture; the broker's own limit counts too
    per_frame     how many defects of one frame get a picture, the strongest first
    """

    margin: float = Field(default=0.5, ge=0, le=10)
    longest_side: int = Field(default=480, ge=SMALLEST_SIDE, le=8192)
    quality: int = Field(default=85, ge=1, le=100)
    max_bytes: int = Field(default=100_000, ge=1_000)
    per_frame: int = Field(default=4, ge=1, le=100)
