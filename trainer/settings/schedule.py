"""Section `schedule` of a training file."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from latentline.base.strict_yaml import StrictModel


class ScheduleConfig(StrictModel):
    """How long each phase of the training lasts, counted in images that the networks are shown, and how it learns."""

    fade_images: int = Field(default=8000, ge=1)
    """GANs: images over which each new stage of the growing networks is faded in. [images]"""

    stable_images: int = Field(default=8000, ge=0)
    """GANs: images for which that stage trains on before the next one comes. [images]"""

    final_images: int = Field(default=60000, ge=1)
    """Images for the last stage of a GAN; for an autoencoder, the whole training; for `pca`, the tiles that it takes.
    [images]"""

    batch: int = Field(default=24, ge=2)
    """Images in a training step. [images]"""

    batch_per_resolution: dict[int, int] = Field(default_factory=dict)
    """Other values of `batch` for single resolutions: `{32: 64}` takes 64 images a step at 32 px. [images]"""

    learning_rate: float = Field(default=2e-3, gt=0)
    """Learning rate of Adam, for all networks except the encoder of a GAN. It falls to a twentieth over the last
    quarter of the training."""

    weight_decay: float = Field(default=0.0, ge=0)
    """Autoencoders: weight decay of Adam."""

    encoder_images: int = Field(default=0, ge=0)
    """GANs: tiles that then train an encoder, from whose z the search starts. 0 trains none, and the search starts from
    a random z. [images]"""

    encoder_learning_rate: float = Field(default=1e-3, gt=0)
    """Learning rate of Adam for the encoder, and for a generator that is fine-tuned along with it. With such a
    generator 0.01 explains much more than 0.001. It falls over the second half of the encoder's training."""

    discriminator_images: int = Field(default=0, ge=0)
    """Noisy-AnoGAN: normal tiles, and as many known-abnormal ones, that fine-tune the discriminator alone at the end.
    Its verdict on a frame becomes much better. D(G(z)) then means nothing, so `search.gamma` must be 1. [images]"""

    discriminator_learning_rate: float = Field(default=5e-3, gt=0)
    """Learning rate of Adam for that fine-tuning. It falls like `learning_rate`."""

    checkpoint_images: int = Field(default=10000, ge=1)
    """Images between two checkpoints, each with pictures of reconstructions. The first comes after a minute at the
    latest, and the next ones after a quarter of an hour. [images]"""

    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    """Number format of the layers. `bfloat16` and `float16` (which needs a GPU) are mixed precision: losses, gradient
    penalty and optimiser stay in float32."""

    seed: int = Field(default=0, ge=0)
    """Random seed of weights, latent vectors and crops, and of how the images are split."""
