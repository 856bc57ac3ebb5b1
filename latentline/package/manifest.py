"""manifest.json of a model package: the model, its search, its calibration, and the hash of every other file."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Annotated, Final, Literal

from pydantic import AwareDatetime, Field, ValidationError, field_validator, model_validator

from latentline.base.strict_yaml import StrictModel
from latentline.errors import PackageError
from latentline.package.frame_sizes import MOST_SIZES
from latentline.scoring.calibration import Calibration
from latentline.scoring.coverage import Coverage
from latentline.scoring.look_misses import LookMisses
from latentline.scoring.map_choice import MapChoice
from latentline.scoring.search_choice import SearchChoice
from latentline.scoring.tuning import CpuPrecision, Tuning
from latentline.search.searched_frame import MapKind
from latentline.trunk.spec import TrunkSpec
from latentline.vision.preprocessing import Preprocessing

SCHEMA_VERSION: Final = 2
MOST_TRAINED_IMAGES = 150_000  # that a manifest records
MOST_ITERATIONS = 10_000  # of a search, as in training files
_Pixels = Annotated[int, Field(ge=1)]
_SIZE_LIMIT = 4 * 1024**2  # bytes of a manifest, which has a few thousand


class SearchSettings(StrictModel):
    """How ẑ is found: `iterations` Adam steps on L'; 0: none.

    init     random: every tile starts at one standard normal latent, drawn with `seed`; encoder: at encoder.onnx(tile)
    samples  VAE: draws of z, with `seed`, over which −log p(x | z) of each pixel is averaged; 0: the mean z alone
    gamma, lam  γ and λ of L'; unused by a model without a search step
    tiles    how many tiles of a frame are searched, those that look least normal to first_look.onnx; all: every one
    """

    init: Literal["random", "encoder"] = "random"
    seed: int = Field(ge=0)
    iterations: int = Field(ge=0, le=MOST_ITERATIONS)
    learning_rate: float = Field(gt=0)
    gamma: float = Field(gt=0, le=1)
    lam: float = Field(ge=0, le=1)
    samples: int = Field(default=0, ge=0, le=64)
    tiles: Annotated[int, Field(ge=1)] | Literal["all"] = "all"

    @property
    def most_tiles(self) -> int | None:
        """`tiles` as a number; None: all."""
        return None if self.tiles == "all" else self.tiles


class ModelSpec(StrictModel):
    """What a searcher needs to know about a model: sizes, outputs and search.

    tile_size      height and width of the square tiles, pixels
    feature_shape  maps, 4, 4 of f(x); None: the model has no discriminator
    patch_shape    [h, w] of the patch head's logits; None: no patch head
    latent_variance  encoder.onnx also gives the log variance of z (VAE)
    pixel_variance   generator.onnx also gives the log variance of every pixel (VAE)
    first_look       frame: first_look.onnx sees a whole frame. True: it sees single tiles, as an older version had it,
                     and nobody runs it; False: there is none
    """

    tile_size: int = Field(ge=8, le=1024)
    channels: Literal[1, 3]
    latent_size: int = Field(ge=1)
    feature_shape: tuple[int, int, int] | None
    patch_shape: tuple[int, int] | None = None
    latent_variance: bool = False
    pixel_variance: bool = False
    first_look: Literal["frame"] | bool = False
    search: SearchSettings

    @property
    def looks_first(self) -> bool:
        """Whether the package brings a first look that this version runs."""
        return self.first_look == "frame"

    @property
    def has_discriminator(self) -> bool:
        """Whether the package brings D."""
        return self.feature_shape is not None

    @property
    def has_search_step(self) -> bool:
        """Whether the package brings L' and its gradient. GANs do; autoencoders with a discriminator do not."""
        return self.has_discriminator and not self.latent_variance

    @model_validator(mode="after")
    def _outputs_fit(self) -> ModelSpec:
        search = self.search
        if not self.has_search_step and (search.iterations or search.init != "encoder"):
            raise ValueError("a model without a search step needs search.iterations 0 and search.init encoder")
        if self.patch_shape is not None and not self.has_discriminator:
            raise ValueError("patch_shape needs a discriminator, and feature_shape says that there is none")
        if self.first_look and not self.has_discriminator:
            raise ValueError("first_look needs a discriminator, and feature_shape says that there is none")
        if search.tiles != "all" and not self.looks_first:
            why = "sees single tiles, which this version does not" if self.first_look else "is missing"
            raise ValueError(
                f"search.tiles {search.tiles} needs a first look at the frame, and that of this package {why}"
            )
        if search.samples and not (self.latent_variance and self.pixel_variance):
            raise ValueError("search.samples needs latent_variance and pixel_variance")
        return self


class Manifest(ModelSpec):
    """manifest.json.

    overlap        of neighbouring tiles, as a fraction of the tile
    map            how frame and reconstruction are compared
    coverage       of held-out normal tiles, when the package was written; None: not measured
    search_choice  why the search has so many iterations; None: somebody gave their number
    map_choice     why the map is of this kind; None: somebody gave it
    look_misses    what the first look misses of validation defects; None: all tiles are searched, or no mask is known
    tuning         how settings were tuned to a budget of milliseconds; None: they were not
    cpu_precision  of the networks but the search step on a CPU that has bfloat16; others compute in float32
    trunk          the pretrained network whose components are in the score; None: there is none
    trained_images  short hashes (`latentline.vision.content`), sorted, of all images that trained, calibrated or were
                   known abnormal, of their region of interest where there is one; None: not recorded
    frame_sizes    (width, height) of the images behind the threshold, of their region of interest where there is one,
                   each once; of many those at the ends of the ranges; None: not recorded
    files          sha256 of each file, by name
    """

    schema_version: Literal[2] = SCHEMA_VERSION
    name: str = Field(min_length=1, max_length=100)
    method: str = Field(min_length=1)
    created: AwareDatetime
    code_version: str
    preprocessing: Preprocessing
    overlap: float = Field(ge=0, lt=0.9)
    map: MapKind = "residual"
    coverage: Coverage | None = None
    search_choice: SearchChoice | None = None
    map_choice: MapChoice | None = None
    look_misses: LookMisses | None = None
    tuning: Tuning | None = None
    trunk: TrunkSpec | None = None
    calibration: Calibration
    trained_images: tuple[str, ...] | None = Field(default=None, max_length=MOST_TRAINED_IMAGES)
    frame_sizes: tuple[tuple[_Pixels, _Pixels], ...] | None = Field(default=None, min_length=1, max_length=MOST_SIZES)
    precision: Literal["float32"] = "float32"
    cpu_precision: CpuPrecision = "float32"
    files: dict[str, str] = Field(default_factory=dict)

    @field_validator("created")
    @classmethod
    def _in_utc(cls, value: datetime) -> datetime:
        return value.astimezone(timezone.utc)

    @model_validator(mode="after")
    def _map_fits(self) -> Manifest:
        if self.cpu_precision != "float32" and not self.has_search_step:
            raise ValueError("cpu_precision bfloat16 is for models with a search step")
        if self.map == "probability" and not self.pixel_variance:
            raise ValueError("map probability needs pixel_variance")
        return self


def parse_manifest(content: bytes, source: str) -> Manifest:
    """The manifest in `content`. Raises PackageError, naming `source`: no manifest, another schema, a wrong value."""
    try:
        data = json.loads(content if len(content) <= _SIZE_LIMIT else b"")
        version = data["schema_version"]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise PackageError(
            f"{source} is not the manifest of a model package; copy the package again, or export it again"
        ) from None
    if isinstance(version, int) and version != SCHEMA_VERSION:
        raise PackageError(f"{source}: {_other_schema(version)}")
    try:
        return Manifest.model_validate(data)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in fault["loc"]) or "manifest"
        raise PackageError(f"{source}: '{place}': {fault['msg']}; export the package again") from None


def _other_schema(version: int) -> str:
    """Why a package of another schema is refused, and what to do."""
    if version > SCHEMA_VERSION:
        return (
            f"made by a newer latentline (schema {version}; this one reads {SCHEMA_VERSION}); update latentline here, "
            "then try again"
        )
    return (
        f"made by an older latentline (schema {version}; this one reads {SCHEMA_VERSION}); export it again from its "
        "run folder with `latentline-export package RUN OUT.zip`"
    )
