"""The methods of the papers, as settings: `method:` of a training configuration, chosen by `kind`."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from latentline.base.strict_yaml import StrictModel


class _Gan(StrictModel):
    """What all methods with generator and discriminator share.

    r1         weight of the R1 gradient penalty on real images (Mescheder et al. 2018)
    r1_every   the penalty is taken every so many steps, and weighted by that number (lazy regularisation)
    kappa      weight of the feature residual in the encoder's loss izi_f (Schlegl et al. 2019, eq. 4); 0: pixels alone
    finetune_generator  the generator learns along with the encoder, so that its range holds more normal tiles
    """

    has_discriminator: ClassVar[bool] = True
    is_gan: ClassVar[bool] = True

    r1: float = Field(default=1.0, ge=0)
    r1_every: int = Field(default=8, ge=1)
    kappa: float = Field(default=1.0, ge=0)
    finetune_generator: bool = False


class NoisyAnoGan(_Gan):
    """Noisy-AnoGAN (Kimura & Yanagihara 2018, eq. 15–17): known-abnormal images teach what not to generate.

    gamma      weight of the adversarial term in (0, 1]; the known-abnormal term has 1 − gamma
    patch_head  weight of the discriminator's patch head, which says where D sees something abnormal; 0: no such head
    synthetic  share of the known-abnormal tiles that are made from normal ones (CutPaste, Perlin-masked texture)
    pasted     share of the others whose defect is put on a normal tile: few defects, many backgrounds
    """

    kind: Literal["noisy_anogan"] = "noisy_anogan"
    gamma: float = Field(default=0.1, gt=0, lt=1)
    patch_head: float = Field(default=0.0, ge=0)
    synthetic: float = Field(default=0.0, ge=0, le=1)
    pasted: float = Field(default=0.0, ge=0, le=1)


class AnoGan(_Gan):
    """AnoGAN (Schlegl et al. 2017): normal images alone."""

    kind: Literal["anogan"]


class FAnoGan(_Gan):
    """f-AnoGAN (Schlegl et al. 2019): an encoder on the frozen generator gives z, for `schedule.encoder_images`."""

    kind: Literal["f_anogan"]


class Autoencoder(StrictModel):
    """Autoencoder with ℓ2 or SSIM loss (Bergmann et al. 2018)."""

    has_discriminator: ClassVar[bool] = False
    is_gan: ClassVar[bool] = False

    kind: Literal["autoencoder"]
    loss: Literal["l2", "ssim"] = "ssim"


class Vae(StrictModel):
    """Variational autoencoder with a learned variance of each pixel (Kingma & Welling 2014; An & Cho 2015).

    kl_weight  weight of the Kullback-Leibler divergence; 1 is the ELBO
    """

    has_discriminator: ClassVar[bool] = False
    is_gan: ClassVar[bool] = False

    kind: Literal["vae"]
    kl_weight: float = Field(default=1.0, ge=0)


class AnoVaeGan(StrictModel):
    """VAE with ℓ1 loss and an adversary (Baur et al. 2018).

    kl_weight           weight of the Kullback-Leibler divergence
    adversarial  weight of the adversary's term
    r1, r1_every  the adversary's gradient penalty, as for the GANs
    """

    has_discriminator: ClassVar[bool] = True
    is_gan: ClassVar[bool] = False

    kind: Literal["anovaegan"]
    kl_weight: float = Field(default=1.0, ge=0)
    adversarial: float = Field(default=0.1, ge=0)
    r1: float = Field(default=1.0, ge=0)
    r1_every: int = Field(default=8, ge=1)


GanMethod = NoisyAnoGan | AnoGan | FAnoGan
AutoencoderMethod = Autoencoder | Vae | AnoVaeGan
Method = Annotated[GanMethod | AutoencoderMethod, Field(discriminator="kind")]
