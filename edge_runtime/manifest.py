"""manifest.json of a model package: what the model is, how to search, thresholds, and the hash of every other file."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Final, Literal

from pydantic import AwareDatetime, Field, ValidationError, field_validator

from latentline.calibration import Calibration
from latentline.errors import PackageError
from latentline.preprocessing import Preprocessing
from latentline.strict_config import StrictModel

SCHEMA_VERSION: Final = 1


class SearchSettings(StrictModel):
    """How ẑ is found: `iterations` Adam steps on L', 0 for none.

    init  random: from one standard-normal latent, drawn with `seed`, for all tiles; encoder: from encoder.onnx's
    """

    init: Literal["random", "encoder"] = "random"
    seed: int = Field(ge=0)
    iterations: int = Field(ge=0)
    learning_rate: float = Field(gt=0)
    gamma: float = Field(gt=0, le=1)
    lam: float = Field(ge=0, le=1)


class ModelSpec(StrictModel):
    """What a searcher needs to know of a model: sizes and search.

    tile_size      height and width of the square tiles, pixels
    feature_shape  of f(x): maps, 4, 4
    """

    tile_size: int = Field(ge=8, le=1024)
    channels: Literal[1, 3]
    latent_size: int = Field(ge=1)
    feature_shape: tuple[int, int, int]
    search: SearchSettings


class Manifest(ModelSpec):
    """manifest.json. `overlap` is the fraction of a tile that its neighbour sees too; `files` maps name to sha256."""

    schema_version: Literal[1] = SCHEMA_VERSION
    name: str = Field(min_length=1, max_length=100)
    method: str = Field(min_length=1)
    created: AwareDatetime
    code_version: str
    preprocessing: Preprocessing
    overlap: float = Field(ge=0, lt=0.9)
    calibration: Calibration
    precision: Literal["float32"] = "float32"
    files: dict[str, str] = Field(default_factory=dict)

    @field_validator("created")
    @classmethod
    def _in_utc(cls, value: datetime) -> datetime:
        return value.astimezone(timezone.utc)


def parse_manifest(content: bytes, source: str) -> Manifest:
    """The manifest in `content`. Raises PackageError, naming `source`: no manifest, a newer schema, a wrong value."""
    try:
        data = json.loads(content)
        version = data["schema_version"]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise PackageError(f"{source} is not the manifest of a model package; copy or export it again") from None
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise PackageError(
            f"{source}: made by a newer latentline (schema {version}, this one reads {SCHEMA_VERSION}): "
            "update the station"
        )
    try:
        return Manifest.model_validate(data)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in fault["loc"])
        raise PackageError(f"{source}: '{place}': {fault['msg']}; export the package again") from None
