"""Convolutional autoencoder (Bergmann et al. 2018, "… by Applying Structural Similarity to Autoencoders", table 1).

Four convolutions halve the image, and one over all remaining positions gives z; the decoder mirrors the encoder. With
128 px, width 32 and 100 latents it is the paper's network plus batch normalisation: without it, training with the SSIM
loss stays for long on the plateau of a constant reconstruction.
"""

from __future__ import annotations

import math
from typing import TypeVar, cast

import torch
from torch import Tensor, nn

from trainer.config import TrainConfig
from trainer.networks.layers import LEAKY_SLOPE, leaky_relu

HALVINGS = 4
HE_GAIN = math.sqrt(2 / (1 + LEAKY_SLOPE**2))
LOG_VARIANCE_CENTRE, LOG_VARIANCE_SPAN = -3.0, 7.0
OUTPUT_GAIN = 0.3  # of the last layer: the first reconstructions are grey, with little contrast

_Layer = TypeVar("_Layer", nn.Conv2d, nn.ConvTranspose2d)


class ConvBlock(nn.Module):
    """Convolution, batch normalisation, leaky ReLU 0.2.

    up  take a transposed convolution
    """

    def __init__(self, in_maps: int, out_maps: int, kernel: int, stride: int, padding: int, up: bool = False) -> None:
        super().__init__()
        make = _transposed if up else _convolution
        self.conv = make(in_maps, out_maps, kernel, stride, padding, HE_GAIN, bias=False)  # the norm has a bias
        self.norm = nn.BatchNorm2d(out_maps)

    def forward(self, h: Tensor) -> Tensor:
        """[N, in, H, W] -> [N, out, H', W']."""
        return leaky_relu(self.norm(self.conv(h)))


class ConvEncoder(nn.Module):
    """Image [N, C, R, R] in [-1, 1] -> z [N, latent_size]; variational: mean and log variance of z, same shape each.

    resolution  R in px: 32 … 1024, a power of two
    width       maps of the outermost layers; inner layers have up to four times as many
    """

    def __init__(self, resolution: int, channels: int, latent_size: int, width: int, variational: bool) -> None:
        super().__init__()
        w = width
        self.variational = variational
        self.blocks = nn.Sequential(
            ConvBlock(channels, w, 4, 2, 1),
            ConvBlock(w, w, 4, 2, 1),
            ConvBlock(w, w, 3, 1, 1),
            ConvBlock(w, 2 * w, 4, 2, 1),
            ConvBlock(2 * w, 2 * w, 3, 1, 1),
            ConvBlock(2 * w, 4 * w, 4, 2, 1),
            ConvBlock(4 * w, 2 * w, 3, 1, 1),
            ConvBlock(2 * w, w, 3, 1, 1),
        )
        side = resolution >> HALVINGS
        self.out = _convolution(w, latent_size * (2 if variational else 1), side, 1, 0, gain=1.0)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """z [N, L], or (mean [N, L], log variance [N, L])."""
        z = cast("Tensor", self.out(self.blocks(x))).flatten(1)
        if not self.variational:
            return z
        mean, log_variance = z.chunk(2, dim=1)
        return mean, log_variance


class ConvDecoder(nn.Module):
    """z [N, latent_size] -> image [N, C, R, R], linear, trained to [-1, 1].

    variance  give the log variance of each value, too, in (-10, 4). Without the lower limit (one grey level is -9.7) a
              perfect value would have an infinite likelihood. -3 + 7·tanh(h / 7) limits it smoothly: the gradient
              does not stop at an edge
    """

    def __init__(self, resolution: int, channels: int, latent_size: int, width: int, variance: bool) -> None:
        super().__init__()
        w = width
        self.resolution, self.channels, self.latent_size = resolution, channels, latent_size
        self.variance = variance
        self.blocks = nn.Sequential(
            ConvBlock(latent_size, w, resolution >> HALVINGS, 1, 0, up=True),
            ConvBlock(w, 2 * w, 3, 1, 1),
            ConvBlock(2 * w, 4 * w, 3, 1, 1),
            ConvBlock(4 * w, 2 * w, 4, 2, 1, up=True),
            ConvBlock(2 * w, 2 * w, 3, 1, 1),
            ConvBlock(2 * w, w, 4, 2, 1, up=True),
            ConvBlock(w, w, 3, 1, 1),
            ConvBlock(w, w, 4, 2, 1, up=True),
        )
        self.out = _transposed(w, channels * (2 if variance else 1), 4, 2, 1, OUTPUT_GAIN)

    def forward(self, z: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Image [N, C, R, R], or (image, log variance [N, C, R, R])."""
        h: Tensor = self.out(self.blocks(z[:, :, None, None]))
        if not self.variance:
            return h
        image, raw = h.chunk(2, dim=1)
        return image, LOG_VARIANCE_CENTRE + LOG_VARIANCE_SPAN * torch.tanh(raw / LOG_VARIANCE_SPAN)


def build_autoencoder(config: TrainConfig) -> tuple[ConvEncoder, ConvDecoder]:
    """Fresh encoder and decoder, initialised from torch's global random state."""
    network, kind = config.network, config.method.kind
    size = (network.resolution, config.preprocessing.channels, network.latent_size, network.autoencoder_width)
    return ConvEncoder(*size, variational=kind != "autoencoder"), ConvDecoder(*size, variance=kind == "vae")


def _convolution(
    in_maps: int, out_maps: int, kernel: int, stride: int, padding: int, gain: float, bias: bool = True
) -> nn.Conv2d:
    return _he(nn.Conv2d(in_maps, out_maps, kernel, stride, padding, bias=bias), in_maps * kernel**2, gain)


def _transposed(
    in_maps: int, out_maps: int, kernel: int, stride: int, padding: int, gain: float, bias: bool = True
) -> nn.ConvTranspose2d:
    # (kernel / stride)² inputs reach an output pixel; the first layer has a single input pixel
    taps = (kernel // stride) ** 2 if stride > 1 else 1
    return _he(nn.ConvTranspose2d(in_maps, out_maps, kernel, stride, padding, bias=bias), in_maps * taps, gain)


def _he(layer: _Layer, fan_in: int, gain: float) -> _Layer:
    """The layer with weights N(0, gain² / fan_in) (He et al. 2015) and biases of zero."""
    nn.init.normal_(layer.weight, std=gain / math.sqrt(fan_in))
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
