"""Networks whose weights take no gradient."""

from __future__ import annotations

import copy

from trainer.networks.discriminator import Discriminator
from trainer.networks.generator import Generator


def freeze(generator: Generator, discriminator: Discriminator) -> tuple[Generator, Discriminator]:
    """Copies in eval mode whose weights take no gradient, as a search needs them."""
    frozen = copy.deepcopy(generator).eval(), copy.deepcopy(discriminator).eval()
    for network in frozen:
        network.requires_grad_(False)
    return frozen
