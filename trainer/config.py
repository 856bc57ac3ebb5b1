"""The training file: all sections together. It is printed, and saved beside the result."""

from __future__ import annotations

from pydantic import model_validator

from latentline.base.strict_yaml import StrictModel
from latentline.vision.preprocessing import Preprocessing
from trainer.data.settings import AugmentConfig, DataConfig, Flip, NanoTwiceData
from trainer.methods import GanMethod, Method, NoisyAnoGan
from trainer.settings.network import NetworkConfig
from trainer.settings.schedule import ScheduleConfig
from trainer.settings.search import SearchConfig
from trainer.settings.trunk import TrunkConfig

ITERATIONS_WITHOUT_ENCODER = 100


class TrainConfig(StrictModel):
    """The training file. Relative paths start at the folder of this file."""

    name: str = "model"
    """Name of the model, shown by the station and in reports."""

    method: Method = NoisyAnoGan()
    """The method, chosen by `kind`. Without this section: `noisy_anogan`."""

    data: DataConfig
    """Where the images come from, chosen by `kind`. Without a `kind`: `folder`."""

    augment: AugmentConfig = AugmentConfig()
    """Changes that make another normal image of the same product."""

    preprocessing: Preprocessing = Preprocessing()
    """How frames are prepared for the model."""

    network: NetworkConfig = NetworkConfig()
    """Size of the networks."""

    schedule: ScheduleConfig = ScheduleConfig()
    """How long each phase of the training lasts, and how it learns."""

    search: SearchConfig = SearchConfig()
    """How a frame is searched and scored."""

    trunk: TrunkConfig = TrunkConfig()
    """A pretrained network whose view of the whole frame joins the score."""

    @property
    def verdict_flips(self) -> tuple[Flip, ...]:
        """What D's verdict on a tile is averaged over: the augmentation's mirrorings, of a D that went on alone."""
        return self.augment.flip if self.schedule.discriminator_images else ()

    @property
    def keeps_size(self) -> bool:
        """Whether the images cannot be scaled: pieces of them calibrate, and a height is that of a whole image."""
        return isinstance(self.data, NanoTwiceData)

    @property
    def fallback_iterations(self) -> int:
        """What `search.iterations: auto` is where nothing can be measured: 0 with an encoder, else 100."""
        return 0 if self.schedule.encoder_images or not self.method.is_gan else ITERATIONS_WITHOUT_ENCODER

    @property
    def unmeasured_iterations(self) -> int:
        """`search.iterations` as a number, without measuring anything for `auto`."""
        return self.fallback_iterations if self.search.iterations == "auto" else self.search.iterations

    @model_validator(mode="after")
    def _method_fits(self) -> TrainConfig:
        method, search = self.method, self.search
        if method.kind == "noisy_anogan" and not (self.data.has_known_abnormal or method.synthetic_fraction):
            raise ValueError(
                "method noisy_anogan needs known-abnormal images (data.known_abnormal or "
                "data.known_abnormal_fraction) or method.synthetic_fraction; without any use method anogan"
            )
        if self.keeps_size and self.preprocessing.height is not None:
            raise ValueError(
                "data.kind nanotwice is calibrated on pieces of its images, which preprocessing.height would scale to "
                "the height of a whole one: leave it out; the images keep their size"
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
        if not method.is_gan and search.iterations not in (0, "auto"):
            raise ValueError(f"method {method.kind} takes its encoder's z as it is: set search.iterations to 0 or auto")
        if not self.schedule.encoder_images and method.is_gan and search.iterations == 0:
            raise ValueError("search.iterations 0 needs an encoder: set schedule.encoder_images")
        if method.kind != "vae" and (search.map == "probability" or search.samples):
            raise ValueError("search.map probability and search.samples are for method vae")
        if isinstance(search.tiles, int) and not method.has_discriminator:
            raise ValueError(f"method {method.kind} has no discriminator to choose the tiles: set search.tiles to all")
        if self.preprocessing.region is not None and self.data.kind == "nanotwice":
            raise ValueError("data.kind nanotwice cuts its images itself: leave preprocessing.region out")
        if search.score == "paper" and not method.is_gan:
            raise ValueError("search.score paper is L' of a GAN's search; an autoencoder has none")
        return self
