"""Section `search` of a training file."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from latentline.base.strict_yaml import StrictModel
from latentline.search.searched_frame import MapKind

Iterations = int | Literal["auto"]
Tiles = Annotated[int, Field(ge=1)] | Literal["all"]
TilesSetting = Tiles | Literal["auto"]
MapSetting = MapKind | Literal["auto"]
MOST_ITERATIONS = 10_000


class SearchConfig(StrictModel):
    """How a frame is searched and scored, in the evaluation and on the station."""

    iterations: Iterations = "auto"
    """Search steps, 0 to 10000 (Algorithm 1 of the paper). 0 takes the encoder's z as it is. `auto` measures on
    held-out images how many steps pay, when the model is evaluated or exported; a method without a search has 0."""

    learning_rate: float = Field(default=0.1, gt=0)
    """Learning rate of the search's Adam."""

    gamma: float = Field(default=0.1, gt=0, le=1)
    """γ of L': weight of the difference between tile and reconstruction; log D(G(z)) has the weight 1 − γ."""

    lam: float = Field(default=0.1, ge=0, le=1)
    """λ of L': share of the discriminator's features in that difference; the pixels have 1 − λ."""

    seed: int = Field(default=0, ge=0)
    """Random seed of the first z, which all tiles share, where there is no encoder."""

    overlap: float = Field(default=0.25, ge=0, lt=0.9)
    """Overlap of neighbouring tiles, as a fraction of the tile."""

    tiles: TilesSetting = "auto"
    """How many tiles of a frame are searched. A number searches those that the discriminator finds most suspicious at a
    first look, so that a large frame costs little more than that look; the others keep the look's word. `all` searches
    every tile, and needs no discriminator. `auto` takes 8 or 32 where they detect held-out defects as well as all tiles
    do, when the model is evaluated or exported, and else all."""

    map: MapSetting = "auto"
    """How the anomaly map compares frame and reconstruction: by the signed `residual`, by `l1`, `l2` or `ssim`, or by
    the reconstruction `probability` of a VAE. `auto` takes the one of `residual`, `l2` and `ssim` that tells held-out
    normal images from validation defects best, when the model is evaluated or exported."""

    samples: int = Field(default=0, ge=0, le=64)
    """VAE: samples of z that the reconstruction probability averages over. 0 takes the mean of z alone."""

    score: Literal["calibrated", "paper"] = "calibrated"
    """`calibrated` sums the standardised components with weights from the calibration. `paper` is L'(ẑ) alone."""

    @property
    def most_tiles(self) -> int | None:
        """`tiles` as a number; None: all, also while it is `auto`."""
        return self.tiles if isinstance(self.tiles, int) else None

    @property
    def chosen_tiles(self) -> Tiles:
        """`tiles` once they are chosen. Raises ValueError while it is `auto`."""
        if self.tiles == "auto":
            raise ValueError("search.tiles is auto, and no number of tiles has been chosen")
        return self.tiles

    @property
    def map_kind(self) -> MapKind:
        """`map` once it is chosen. Raises ValueError while it is `auto`."""
        if self.map == "auto":
            raise ValueError("search.map is auto, and no kind of map has been chosen")
        return self.map

    @field_validator("iterations", mode="before")
    @classmethod
    def _number_or_auto(cls, value: Any) -> Any:
        whole = isinstance(value, int) and not isinstance(value, bool)
        if value != "auto" and not (whole and 0 <= value <= MOST_ITERATIONS):
            raise ValueError(f"give a whole number from 0 to {MOST_ITERATIONS}, or auto")
        return value
