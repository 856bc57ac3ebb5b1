"""The ONNX graphs of an autoencoder: encoder and decoder, with batch normalisation folded into the convolutions.

Those of method pca are one matrix product each.
"""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from export.graphs import to_onnx
from latentline.package.model_package import ENCODER, GENERATOR
from trainer.networks.autoencoder import ConvBlock
from trainer.networks.factory import CodingEncoder, Decoder

Network = TypeVar("Network", bound=nn.Module)


def export_autoencoder(encoder: CodingEncoder, decoder: Decoder) -> dict[str, bytes]:
    """File name -> ONNX bytes, float32, batch dimension "batch" dynamic.

    encoder.onnx    image [batch, C, R, R] -> z [batch, L]; variational: also log_variance [batch, L]
    generator.onnx  z -> image [batch, C, R, R]; with variance: also log_variance [batch, C, R, R]
    """
    size = decoder.resolution
    z, image = torch.zeros(2, decoder.latent_size), torch.zeros(2, decoder.channels, size, size)
    of_encoder = ["z", "log_variance"] if encoder.variational else ["z"]
    of_decoder = ["image", "log_variance"] if decoder.variance else ["image"]
    return {
        ENCODER: to_onnx(folded(encoder), {"image": image}, of_encoder),
        GENERATOR: to_onnx(folded(decoder), {"z": z}, of_decoder),
    }


def folded(network: Network) -> Network:
    """A float32 copy in eval mode whose convolutions include their normalisation.

    Normalisation with fixed statistics is a linear map of each channel: folding it, in float64, approximates nothing.
    """
    network = copy.deepcopy(network).eval().double()
    for block in network.modules():
        if isinstance(block, ConvBlock):
            block.conv = fuse_conv_bn_eval(block.conv, block.norm, transpose=isinstance(block.conv, nn.ConvTranspose2d))
            block.register_module("norm", nn.Identity())
    return network.float().requires_grad_(False)
