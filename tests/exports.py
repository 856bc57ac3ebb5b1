"""Exports of the same networks, which the processes of a test run make once."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

from export.package import export_model
from latentline.package.manifest import SearchSettings
from latentline.package.model_package import SearchModel
from tests.sharing import made_once
from trainer.data.settings import Flip
from trainer.networks.discriminator import Discriminator
from trainer.networks.encoder import Encoder
from trainer.networks.factory import CodingEncoder, Decoder
from trainer.networks.generator import Generator


def export_once(
    generator: Generator | Decoder,
    discriminator: Discriminator | None,
    encoder: Encoder | CodingEncoder | None,
    search: SearchSettings,
    flips: Sequence[Flip] = (),
) -> SearchModel:
    """What `export_model` returns. Networks with the same weights are exported once, whatever their search is beyond
    the parts that the graphs have in them. Tests do not change the result."""
    key = hashlib.sha256(repr((search.gamma, search.lam, search.init, tuple(flips))).encode())
    for network in (generator, discriminator, encoder):
        key.update(f"{type(network)} {network}".encode())
        if network is not None:
            sizes = {n: v for n, v in vars(network).items() if isinstance(v, (int, float, str)) and n != "training"}
            key.update(repr(sorted(sizes.items())).encode())
            for name, tensor in network.state_dict().items():
                key.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode() + tensor.cpu().numpy().tobytes())
    model = made_once(
        f"export-{key.hexdigest()[:24]}", lambda: export_model(generator, discriminator, encoder, search, flips)
    )
    return replace(model, spec=model.spec.model_copy(update={"search": search}))
