"""The self-test of a package: points, away from kinks, where loss and gradient are known in float64."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
from torch import Tensor

from export.onnx_oracle import OnnxNetwork
from latentline.package.model_package import DISCRIMINATOR, GENERATOR
from latentline.package.selftest import SelfTest
from trainer.networks.discriminator import Discriminator
from trainer.networks.frozen import freeze
from trainer.networks.generator import Generator
from trainer.reference.search import loss_and_gradient

Network = Callable[[Tensor], Any]  # generator: z -> image; discriminator: image -> logit, features

ROWS = 4
CANDIDATES = 64
SHORTLIST = 12


def make_selftest(
    generator: Generator, discriminator: Discriminator, gamma: float, lam: float, graphs: Mapping[str, bytes]
) -> SelfTest:
    """The self-test at `ROWS` points by the checkpoint's networks; the points depend on the graphs alone."""
    z, x = choose_points(graphs, generator.latent_size, gamma, seed=0)
    networks = freeze(generator, discriminator)
    return selftest_at(networks[0].double(), networks[1].double(), gamma, lam, graphs, z, x)


def choose_points(graphs: Mapping[str, bytes], latent_size: int, gamma: float, seed: int) -> tuple[Tensor, Tensor]:
    """z [ROWS, L] and x [ROWS, C, R, R] in [-1, 1], float64: latents N(0, 1), images G(another latent) plus noise.

    Of `CANDIDATES` points those with the widest margins are chosen: a large network has so many activations that nearly
    every point is close to a kink of one. float32, which is fast, gives a shortlist; float64 decides.
    """
    z, x = _candidates(graphs, latent_size, seed)
    for dtype, count in ((torch.float32, SHORTLIST), (torch.float64, ROWS)):
        best = _margins(graphs, z.to(dtype), x.to(dtype), gamma).topk(count).indices
        z, x = z[best], x[best]
    return z.double(), x.double()


def selftest_at(
    generator: Network,
    discriminator: Network,
    gamma: float,
    lam: float,
    graphs: Mapping[str, bytes],
    z: Tensor,
    x: Tensor,
) -> SelfTest:
    """The self-test at float64 points: loss and gradient by autograd through float64 networks, margins of `graphs`."""
    with torch.no_grad():
        fx = discriminator(x)[1].float().double()  # rounded to the float32 numbers that a station has
    loss, grad_z = loss_and_gradient(
        cast("Generator", generator), cast("Discriminator", discriminator), z, x, fx, gamma, lam
    )
    return SelfTest(*(t.numpy() for t in (z, x, fx, loss, grad_z, _margins(graphs, z, x, gamma))))


def kink_margin(generator: OnnxNetwork, discriminator: OnnxNetwork, z: Tensor, x: Tensor) -> Tensor:
    """Distance of the nearest activation to a kink, relative to the root mean square of its layer, [N].

    Activations are the inputs of leaky ReLU in G and D(G(z)), and those of |a|: x − G(z) and f(x) − f(G(z)).
    """
    activations: list[Tensor] = []
    with torch.no_grad():
        fx = _features(discriminator(x))
        generator.kinks = discriminator.kinks = activations
        image = generator(z)
        features = _features(discriminator(image))
    generator.kinks = discriminator.kinks = None
    margins = [_margin(a, a) for a in activations]
    margins += [_margin(image - x, image), _margin(features - fx, features)]
    return torch.stack(margins).amin(dim=0)


def _features(output: Tensor | tuple[Tensor, Tensor]) -> Tensor:
    return output if isinstance(output, Tensor) else output[1]


def _candidates(graphs: Mapping[str, bytes], latent_size: int, seed: int) -> tuple[Tensor, Tensor]:
    """z [M, L] and x [M, C, R, R] in [-1, 1], float32."""
    random = torch.Generator().manual_seed(seed)
    z, others = torch.randn(2, CANDIDATES, latent_size, generator=random)
    generator = OnnxNetwork(graphs[GENERATOR], GENERATOR, torch.float32)
    with torch.no_grad():
        images = torch.cat([generator(others[i : i + 1]) for i in range(CANDIDATES)])
    noise = 0.2 * torch.randn(images.shape, generator=random)
    return z, (images + noise).clamp(-1, 1)


def _margins(graphs: Mapping[str, bytes], z: Tensor, x: Tensor, gamma: float) -> Tensor:
    """`kink_margin` of each point, [N], computed in the dtype of z."""
    networks = _networks(graphs, z.dtype, gamma)
    return torch.cat([kink_margin(*networks, z[i : i + 1], x[i : i + 1]) for i in range(len(z))])


def _networks(graphs: Mapping[str, bytes], dtype: torch.dtype, gamma: float) -> tuple[OnnxNetwork, OnnxNetwork]:
    """G, and D with the outputs that L' depends on: with γ = 1 not the logit."""
    outputs = ("features",) if gamma == 1 else ("logit", "features")
    generator = OnnxNetwork(graphs[GENERATOR], GENERATOR, dtype)
    return generator, OnnxNetwork(graphs[DISCRIMINATOR], DISCRIMINATOR, dtype, outputs)


def _margin(distance: Tensor, layer: Tensor) -> Tensor:
    return distance.flatten(1).abs().amin(dim=1) / layer.flatten(1).square().mean(dim=1).sqrt()
