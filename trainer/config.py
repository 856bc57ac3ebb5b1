"""Training configuration: one strict YAML, printed and saved beside the result."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from latentline.preprocessing import Preprocessing
from latentline.strict_config import StrictModel


class DataConfig(StrictModel):
    """Folder data: train/good, test/good, test/<defect>, ground_truth/<defect>/<image>_mask.png under root.

    root             the folder; a relative path counts from the configuration file
    holdout          fraction of train/good kept from training, to calibrate score and threshold; without effect where
                     the folder brings its own validation/good
    groups           CSV with the columns `file` and `tile_group`, relative to root: images of one part, which never lie
                     on both sides of a split
    known_abnormal   text file, one image a line relative to root, of known-abnormal images; or
    known_abnormal_fraction   this fraction of each defect folder. Both leave the test set
    flip             mirrorings that make another normal image of this product
    """

    root: Path
    holdout: float = Field(default=0.25, gt=0, lt=1)
    groups: str | None = None
    known_abnormal: Path | None = None
    known_abnormal_fraction: float = Field(default=0.0, ge=0, lt=1)
    flip: tuple[Literal["horizontal", "vertical"], ...] = ()

    @model_validator(mode="after")
    def _one_choice(self) -> DataConfig:
        if self.known_abnormal is not None and self.known_abnormal_fraction > 0:
            raise ValueError("give known_abnormal or known_abnormal_fraction, not both")
        return self


class NetworkConfig(StrictModel):
    """Size of generator and discriminator.

    resolution   px of an image or tile: 32 … 1024, a power of two
    latent_size  numbers in z
    fmap_base    feature maps at r px are 2·fmap_base / r …
    fmap_max     … but never more than this
    """

    resolution: int = Field(default=64, ge=32, le=1024)
    latent_size: int = Field(default=128, ge=2, le=1024)
    fmap_base: int = Field(default=1024, ge=16)
    fmap_max: int = Field(default=64, ge=4, le=1024)

    @field_validator("resolution")
    @classmethod
    def _power_of_two(cls, value: int) -> int:
        if value & (value - 1):
            raise ValueError("resolution must be a power of two")
        return value

    @model_validator(mode="after")
    def _enough_maps(self) -> NetworkConfig:
        # pixel norm over one map leaves nothing but its sign, and no gradient
        if 2 * self.fmap_base // self.resolution < 4:
            raise ValueError(f"fmap_base {self.fmap_base} leaves fewer than 4 feature maps at {self.resolution} px")
        return self


class ObjectiveConfig(StrictModel):
    """Noisy-AnoGAN objective.

    gamma       weight of the adversarial term in (0, 1]; 1 is AnoGAN, without known-abnormal images
    r1          weight of the R1 gradient penalty on real images (Mescheder et al. 2018)
    r1_every    the penalty is taken every so many steps, and weighted by that number (lazy regularisation)
    """

    gamma: float = Field(default=0.1, gt=0, le=1)
    r1: float = Field(default=1.0, ge=0)
    r1_every: int = Field(default=8, ge=1)


class ScheduleConfig(StrictModel):
    """How long, in images shown to the discriminator.

    fade_images     a new stage is faded in over so many real images
    stable_images   and then trained alone for so many
    final_images    the last stage goes on for so many
    batch           images a step; `batches` overrides it per resolution in px
    learning_rate   of Adam for both networks; falls to a twentieth over the last quarter
    ema_images      half-life of the averaged generator
    encoder_images  afterwards, tiles shown to the encoder that gives the search its first z; 0: no encoder, the search
                    starts from a random latent
    encoder_learning_rate   of Adam for it; falls over the second half
    checkpoint_images   a checkpoint, and pictures, every so many
    seed            of weights, latents and crops
    """

    fade_images: int = Field(default=8000, ge=1)
    stable_images: int = Field(default=8000, ge=0)
    final_images: int = Field(default=60000, ge=1)
    batch: int = Field(default=24, ge=2)
    batches: dict[int, int] = Field(default_factory=dict)
    learning_rate: float = Field(default=2e-3, gt=0)
    ema_images: float = Field(default=2000, gt=0)
    encoder_images: int = Field(default=0, ge=0)
    encoder_learning_rate: float = Field(default=1e-3, gt=0)
    checkpoint_images: int = Field(default=10000, ge=1)
    seed: int = Field(default=0, ge=0)


class SearchConfig(StrictModel):
    """The search at inspection time (Algorithm 1).

    iterations      Adam steps over z; 0 takes the encoder's z as it is
    learning_rate   of Adam
    gamma, lam      γ and λ of L', eq. as in the paper
    seed            of the first z, the same for every tile, where there is no encoder
    overlap         of neighbouring tiles, as a fraction of the tile
    """

    iterations: int = Field(default=100, ge=0, le=10000)
    learning_rate: float = Field(default=0.1, gt=0)
    gamma: float = Field(default=0.1, gt=0, le=1)
    lam: float = Field(default=0.1, ge=0, le=1)
    seed: int = Field(default=0, ge=0)
    overlap: float = Field(default=0.25, ge=0, lt=0.9)


class TrainConfig(StrictModel):
    """Everything a training depends on."""

    name: str = "model"
    method: Literal["noisy_anogan", "anogan"] = "noisy_anogan"
    data: DataConfig
    preprocessing: Preprocessing = Preprocessing()
    network: NetworkConfig = NetworkConfig()
    objective: ObjectiveConfig = ObjectiveConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    search: SearchConfig = SearchConfig()

    @model_validator(mode="after")
    def _method_and_gamma(self) -> TrainConfig:
        known = self.data.known_abnormal is not None or self.data.known_abnormal_fraction > 0
        if self.method == "anogan" and (self.objective.gamma != 1 or known):
            raise ValueError("method anogan means objective.gamma 1 and no known-abnormal images")
        if self.method == "noisy_anogan" and self.objective.gamma < 1 and not known:
            raise ValueError(
                "objective.gamma below 1 needs known-abnormal images: set data.known_abnormal or "
                "data.known_abnormal_fraction, or method anogan with gamma 1"
            )
        return self
