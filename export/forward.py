"""Networks as functions of one tensor; with them, the self-test of a model without a search step."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from export.onnx_oracle import OnnxNetwork
from latentline.package.model_package import DISCRIMINATOR, ENCODER, FIRST_LOOK, GENERATOR
from latentline.package.selftest import ForwardTest
from trainer.data.settings import Flip
from trainer.networks.discriminator import Discriminator
from trainer.networks.encoder import Encoder
from trainer.networks.factory import CodingEncoder, Decoder
from trainer.networks.flip_average import average_over_flips
from trainer.networks.generator import Generator

Forward = Callable[[Tensor], tuple[Tensor, ...]]

OUTPUTS = {  # in this order; not every model has the last one of each
    GENERATOR: ("image", "log_variance"),
    DISCRIMINATOR: ("logit", "features", "patch_logits"),
    ENCODER: ("z", "log_variance"),
    FIRST_LOOK: ("logit", "patch_logits"),
}
ROWS = 4


def packaged_networks(graphs: Mapping[str, bytes]) -> dict[str, Forward]:
    """The forward graphs of a package in float64, by file name."""
    return {name: _as_forward(OnnxNetwork(graphs[name], name)) for name in OUTPUTS if name in graphs}


def trained_networks(
    generator: Generator | Decoder,
    discriminator: Discriminator | None,
    encoder: Encoder | CodingEncoder | None,
    flips: Sequence[Flip] = (),
) -> dict[str, Forward]:
    """Copies of the networks in float64 and eval mode, by their file names in a package.

    flips  over which D's logits are averaged
    """
    networks: dict[str, nn.Module | None] = {GENERATOR: generator, DISCRIMINATOR: discriminator, ENCODER: encoder}
    copies = {
        name: copy.deepcopy(network).eval().double().requires_grad_(False)
        for name, network in networks.items()
        if network is not None
    }
    networks_by_name = {name: _as_forward(network, flips) for name, network in copies.items()}
    if isinstance(judge := copies.get(DISCRIMINATOR), Discriminator):
        networks_by_name[FIRST_LOOK] = judge.look
    return networks_by_name


def forward_images(networks: Mapping[str, Forward], latent_size: int, seed: int) -> Tensor:
    """Images G(z) plus noise for latents N(0, 1), float64 [ROWS, C, R, R] in [-1, 1]; always the same for a seed."""
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        images = networks[GENERATOR](torch.randn(ROWS, latent_size, generator=random, dtype=torch.float64))[0]
    noise = 0.2 * torch.randn(images.shape, generator=random, dtype=torch.float64)
    return (images + noise).clamp(-1, 1).float().double()


def forward_test(networks: Mapping[str, Forward], x: Tensor) -> ForwardTest:
    """The self-test at images x, float64: outputs of encoder, generator and, where there is one, discriminator."""
    with torch.no_grad():
        z, *z_log_variance = networks[ENCODER](x)
        image, *log_variance = networks[GENERATOR](z)
        logit = networks[DISCRIMINATOR](x)[:1] if DISCRIMINATOR in networks else ()
    return ForwardTest(
        x=x.numpy(),
        z=z.numpy(),
        image=image.numpy(),
        z_log_variance=z_log_variance[0].numpy() if z_log_variance else None,
        log_variance=log_variance[0].numpy() if log_variance else None,
        logit=logit[0].numpy() if logit else None,
    )


def _as_forward(network: nn.Module, flips: Sequence[Flip] = ()) -> Forward:
    def run(value: Tensor) -> tuple[Tensor, ...]:
        if isinstance(network, Discriminator):
            return average_over_flips(network.all_outputs, value, flips)
        outputs = network(value)
        return outputs if isinstance(outputs, tuple) else (outputs,)

    return run
