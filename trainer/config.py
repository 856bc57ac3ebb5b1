"""Training configuration: one strict YAML, printed and saved beside the result."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from latentline.base.strict_yaml import StrictModel
from latentline.search.searched_frame import MapKind
from latentline.vision.preprocessing import Preprocessing
from trainer.data.settings import AugmentConfig, DataConfig, Flip
from trainer.methods import GanMethod, Method, NoisyAnoGan


class NetworkConfig(StrictModel):
    """Size of the networks.

    resolution   px of an image or tile: 32 … 1024, a power of two
    latent_size  numbers in z
    patch_size   GANs: px a side of what the outermost layers take for one position: 1, or 2 or 4: about twice as
                 fast on a CPU, or two and a half times, and coarser in detail
    fmap_base    GANs: feature maps at r positions a side are 2·fmap_base / r …
    fmap_max     … but never more than this
    width        autoencoders: feature maps of the outermost layers, up to four times as many inside (Bergmann: 32)
    """

    resolution: int = Field(default=64, ge=32, le=1024)
    latent_size: int = Field(default=128, ge=2, le=1024)
    patch_size: Literal[1, 2, 4] = 1
    fmap_base: int = Field(default=1024, ge=16)
    fmap_max: int = Field(default=64, ge=4, le=1024)
    width: int = Field(default=32, ge=4, le=256)

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


class ScheduleConfig(StrictModel):
    """How long, in images shown.

    fade_images     GANs: a new stage is faded in over so many real images
    stable_images   GANs: and then trained alone for so many
    final_images    the last stage goes on for so many; of an autoencoder, the whole training
    batch           images a step; `batches` overrides it per resolution in px
    learning_rate   of Adam for all networks but the encoder below; falls to a twentieth over the last quarter
    weight_decay    autoencoders: of Adam
    ema_images      half-life of the averaged generator
    encoder_images  afterwards, tiles shown to the encoder that gives the search its first z; 0: no encoder, the search
                    starts from a random latent
    encoder_learning_rate   of Adam for it; falls over the second half
    discriminator_images  Noisy-AnoGAN: at last so many normal tiles, and as many known-abnormal ones, are shown to the
                    discriminator alone: its verdict becomes much better, and D(G(z)) and so L' lose their meaning
    discriminator_learning_rate   of Adam for that; falls as learning_rate
    checkpoint_images   a checkpoint, and pictures, every so many
    precision       of layers: float32, or mixed with bfloat16 or float16 (float16 needs a GPU); losses, penalty and
                    optimiser stay float32
    seed            of weights, latents and crops
    """

    fade_images: int = Field(default=8000, ge=1)
    stable_images: int = Field(default=8000, ge=0)
    final_images: int = Field(default=60000, ge=1)
    batch: int = Field(default=24, ge=2)
    batches: dict[int, int] = Field(default_factory=dict)
    learning_rate: float = Field(default=2e-3, gt=0)
    weight_decay: float = Field(default=0.0, ge=0)
    ema_images: float = Field(default=2000, gt=0)
    discriminator_images: int = Field(default=0, ge=0)
    discriminator_learning_rate: float = Field(default=5e-3, gt=0)
    encoder_images: int = Field(default=0, ge=0)
    encoder_learning_rate: float = Field(default=1e-3, gt=0)
    checkpoint_images: int = Field(default=10000, ge=1)
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    seed: int = Field(default=0, ge=0)


class SearchConfig(StrictModel):
    """What happens at inspection time.

    iterations      Adam steps over z (Algorithm 1); 0 takes the encoder's z as it is
    learning_rate   of Adam
    gamma, lam      γ and λ of L', eq. as in the paper
    seed            of the first z, the same for every tile, where there is no encoder
    overlap         of neighbouring tiles, as a fraction of the tile
    map             how frame and reconstruction are compared: residual (signed), l1, l2, ssim, or probability (VAE)
    samples         VAE: of z for the reconstruction probability; 0 takes the mean
    score           calibrated: standardised components, weighted on validation images; paper: L'(ẑ) alone
    """

    iterations: int = Field(default=100, ge=0, le=10000)
    learning_rate: float = Field(default=0.1, gt=0)
    gamma: float = Field(default=0.1, gt=0, le=1)
    lam: float = Field(default=0.1, ge=0, le=1)
    seed: int = Field(default=0, ge=0)
    overlap: float = Field(default=0.25, ge=0, lt=0.9)
    map: MapKind = "residual"
    samples: int = Field(default=0, ge=0, le=64)
    score: Literal["calibrated", "paper"] = "calibrated"


class TrainConfig(StrictModel):
    """Everything a training depends on."""

    name: str = "model"
    method: Method = NoisyAnoGan()
    data: DataConfig
    augment: AugmentConfig = AugmentConfig()
    preprocessing: Preprocessing = Preprocessing()
    network: NetworkConfig = NetworkConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    search: SearchConfig = SearchConfig()

    @property
    def verdict_flips(self) -> tuple[Flip, ...]:
        """What D's verdict on a tile is averaged over: the augmentation's mirrorings, of a D that went on alone."""
        return self.augment.flip if self.schedule.discriminator_images else ()

    @model_validator(mode="after")
    def _method_fits(self) -> TrainConfig:
        method, search = self.method, self.search
        if method.kind == "noisy_anogan" and not (self.data.has_known_abnormal or method.synthetic):
            raise ValueError(
                "method noisy_anogan needs known-abnormal images (data.known_abnormal or "
                "data.known_abnormal_fraction) or method.synthetic; without any use method anogan"
            )
        positions = self.network.resolution // self.network.patch_size
        if method.kind == "noisy_anogan" and method.patch_head and positions < 16:
            raise ValueError(
                f"method.patch_head, a patch head, needs 16 positions a side, and network.resolution in patches of "
                f"{self.network.patch_size} px are {positions}: lower network.patch_size or set method.patch_head to 0"
            )
        if method.kind != "noisy_anogan" and self.schedule.discriminator_images:
            raise ValueError("schedule.discriminator_images shows known-abnormal images: it is for method noisy_anogan")
        if isinstance(method, GanMethod) and method.finetune_generator and not self.schedule.encoder_images:
            raise ValueError(
                "method.finetune_generator trains the generator along with an encoder: set schedule.encoder_images"
            )
        if self.schedule.discriminator_images and search.gamma < 1:
            raise ValueError(
                "after schedule.discriminator_images D(G(z)) "
                "means nothing and cannot steer a search: set search.gamma to 1"
            )
        if method.kind == "f_anogan" and not self.schedule.encoder_images:
            raise ValueError("method f_anogan is an encoder on a GAN: set schedule.encoder_images")
        if not method.is_gan and search.iterations:
            raise ValueError(f"method {method.kind} takes its encoder's z as it is: set search.iterations to 0")
        if not self.schedule.encoder_images and method.is_gan and not search.iterations:
            raise ValueError("search.iterations 0 needs an encoder: set schedule.encoder_images")
        if method.kind != "vae" and (search.map == "probability" or search.samples):
            raise ValueError("search.map probability and search.samples are for method vae")
        if search.score == "paper" and not method.is_gan:
            raise ValueError("search.score paper is L' of a GAN's search; an autoencoder has none")
        return self
