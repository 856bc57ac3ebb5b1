"""Section `method` of a training file: the methods of the papers, chosen by `kind`."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from latentline.base.strict_yaml import StrictModel


class _Gan(StrictModel):
    """What all methods with generator and discriminator share."""

    has_discriminator: ClassVar[bool] = True
    is_gan: ClassVar[bool] = True

    r1: float = Field(default=1.0, ge=0)
    """Weight of the R1 gradient penalty on real images (Mescheder et al. 2018). A larger one steadies the game."""

    r1_every: int = Field(default=8, ge=1)
    """The penalty is computed once in this number of steps, and weighted by the number. [steps]"""

    kappa: float = Field(default=1.0, ge=0)
    """Weight κ of the feature residual in the encoder's loss izi_f (Schlegl et al. 2019, eq. 4). 0 compares pixels
    alone."""

    encoder_loss: Literal["l2", "ssim"] = "l2"
    """How the encoder, and a generator that is fine-tuned along with it, compare pixels: by their squared difference,
    or by structure. `ssim` is for fine irregular patterns without a fixed place, such as fibres."""

    finetune_generator: bool = False
    """True trains the generator on together with the encoder, so that it reaches more normal tiles. It needs
    `schedule.encoder_images`."""


class NoisyAnoGan(_Gan):
    """Noisy-AnoGAN (Kimura & Yanagihara 2018, eq. 15–17): known-abnormal images teach what not to generate."""

    kind: Literal["noisy_anogan"] = "noisy_anogan"
    gamma: float = Field(default=0.1, gt=0, lt=1)
    """γ: weight of the adversarial term; the known-abnormal term has 1 − γ."""

    patch_head: float = Field(default=0.0, ge=0)
    """Weight of the discriminator's patch head, which learns from masks where a tile is abnormal. 0: no patch head."""

    synthetic_fraction: float = Field(default=0.0, ge=0, le=1)
    """Fraction of the known-abnormal tiles that are made from normal ones (CutPaste, Perlin-masked texture). 1 needs no
    known-abnormal image."""

    pasted_fraction: float = Field(default=0.0, ge=0, le=1)
    """Fraction of the other known-abnormal tiles for which a known defect is pasted on a normal tile: few defects, many
    backgrounds."""


class AnoGan(_Gan):
    """AnoGAN (Schlegl et al. 2017): normal images alone."""

    kind: Literal["anogan"]


class FAnoGan(_Gan):
    """f-AnoGAN (Schlegl et al. 2019): an encoder on the frozen generator gives z."""

    kind: Literal["f_anogan"]


class Autoencoder(StrictModel):
    """Autoencoder with ℓ2 or SSIM loss (Bergmann et al. 2018)."""

    has_discriminator: ClassVar[bool] = False
    is_gan: ClassVar[bool] = False

    kind: Literal["autoencoder"]
    loss: Literal["l2", "ssim"] = "ssim"
    """Loss between tile and reconstruction."""


class Pca(StrictModel):
    """Principal components of normal tiles: the best linear encoder and generator, computed instead of trained."""

    has_discriminator: ClassVar[bool] = False
    is_gan: ClassVar[bool] = False

    kind: Literal["pca"]


class Vae(StrictModel):
    """Variational autoencoder with a learned variance of each pixel (Kingma & Welling 2014; An & Cho 2015)."""

    has_discriminator: ClassVar[bool] = False
    is_gan: ClassVar[bool] = False

    kind: Literal["vae"]
    kl_weight: float = Field(default=1.0, ge=0)
    """Weight of the Kullback-Leibler divergence; 1 is the ELBO."""


class AnoVaeGan(StrictModel):
    """VAE with ℓ1 loss, and a discriminator as its adversary (Baur et al. 2018)."""

    has_discriminator: ClassVar[bool] = True
    is_gan: ClassVar[bool] = False

    kind: Literal["anovaegan"]
    kl_weight: float = Field(default=1.0, ge=0)
    """Weight of the Kullback-Leibler divergence."""

    adversarial_weight: float = Field(default=0.1, ge=0)
    """Weight of the adversary's term in the loss of the VAE."""

    r1: float = Field(default=1.0, ge=0)
    """Weight of the adversary's R1 gradient penalty on real images."""

    r1_every: int = Field(default=8, ge=1)
    """The penalty is computed once in this number of steps, and weighted by the number. [steps]"""


GanMethod = NoisyAnoGan | AnoGan | FAnoGan
AutoencoderMethod = Autoencoder | Pca | Vae | AnoVaeGan
Method = Annotated[GanMethod | AutoencoderMethod, Field(discriminator="kind")]
