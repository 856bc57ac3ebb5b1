"""The networks of a method as a training configuration describes them."""

from __future__ import annotations

from trainer.config import TrainConfig
from trainer.methods import NoisyAnoGan
from trainer.networks.autoencoder import ConvDecoder, ConvEncoder, build_autoencoder
from trainer.networks.discriminator import Discriminator
from trainer.networks.encoder import Encoder
from trainer.networks.generator import Generator
from trainer.networks.linear import LinearDecoder, LinearEncoder, build_linear

CodingEncoder = ConvEncoder | LinearEncoder
Decoder = ConvDecoder | LinearDecoder


Networks = tuple[Generator | Decoder, Discriminator | None, Encoder | CodingEncoder | None]


def build_networks(config: TrainConfig) -> Networks:
    """Fresh generator or decoder, discriminator and encoder of any method, from torch's global random state.

    None where the method has no such network.
    """
    if config.method.is_gan:
        return *build_gan(config), build_encoder(config) if config.schedule.encoder_images else None
    encoder, decoder = build_coder(config)
    return decoder, build_discriminator(config) if config.method.has_discriminator else None, encoder


def build_coder(config: TrainConfig) -> tuple[CodingEncoder, Decoder]:
    """Fresh encoder and decoder of a method that is no GAN."""
    return build_linear(config) if config.method.kind == "pca" else build_autoencoder(config)


def build_gan(config: TrainConfig) -> tuple[Generator, Discriminator]:
    """Fresh generator and discriminator, initialised from torch's global random state."""
    n = config.network
    generator = Generator(
        n.resolution, config.preprocessing.channels, n.latent_size, n.fmap_base, n.fmap_max, n.patch_size
    )
    return generator, build_discriminator(config)


def build_discriminator(config: TrainConfig) -> Discriminator:
    """A fresh discriminator from torch's global random state, with a patch head if the method has one."""
    n, patch_head = config.network, isinstance(config.method, NoisyAnoGan) and config.method.patch_head > 0
    return Discriminator(n.resolution, config.preprocessing.channels, n.fmap_base, n.fmap_max, n.patch_size, patch_head)


def build_encoder(config: TrainConfig) -> Encoder:
    """A fresh encoder from torch's global random state, with half the discriminator's maps: it only starts a search."""
    n = config.network
    maps = n.fmap_base // 2, n.fmap_max // 2
    return Encoder(n.resolution, config.preprocessing.channels, n.latent_size, *maps, n.patch_size)
