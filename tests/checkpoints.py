"""Checkpoints of small random networks, one for each kind of package."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import nn

from export.from_checkpoint import search_settings
from latentline.package.model_package import SearchModel
from tests.exports import export_once
from trainer.checkpoint import Checkpoint
from trainer.config import TrainConfig
from trainer.data.split import Split
from trainer.networks.factory import build_networks

SIZE, LATENT = 32, 6
NETWORK = {
    "resolution": SIZE,
    "latent_size": LATENT,
    "fmap_base": 128,
    "fmap_max": 8,  # with fewer maps, pixel norm magnifies rounding
    "autoencoder_width": 4,
}
GAN = {"encoder_images": 8}
METHODS: dict[str, dict[str, Any]] = {
    "noisy_anogan": {"method": {"kind": "noisy_anogan", "patch_head": 1.0}, "search": {"iterations": 3}},
    "finetuned": {
        "method": {"kind": "noisy_anogan", "patch_head": 1.0},
        "augment": {"flip": ["horizontal", "vertical"]},
        "schedule": {"discriminator_images": 8},
        "search": {"iterations": 3, "gamma": 1.0},
    },
    "f_anogan": {"method": {"kind": "f_anogan"}, "schedule": GAN, "search": {"iterations": 0}},
    "autoencoder": {"method": {"kind": "autoencoder"}, "search": {"iterations": 0, "map": "ssim"}},
    "pca": {"method": {"kind": "pca"}, "search": {"iterations": 0, "map": "l2"}},
    "vae": {"method": {"kind": "vae"}, "search": {"iterations": 0, "map": "probability", "samples": 3}},
    "vae, mean": {"method": {"kind": "vae"}, "search": {"iterations": 0, "map": "probability"}},
    "anovaegan": {"method": {"kind": "anovaegan"}, "search": {"iterations": 0, "map": "l2"}},
}


def random_checkpoint(name: str, channels: int = 1, seed: int = 0) -> Checkpoint:
    """A checkpoint of METHODS[name], with random weights, biases and normalisation statistics."""
    given = {
        "data": {"root": "images", "known_abnormal_fraction": 0.1},
        "network": NETWORK,
        "preprocessing": {"channels": channels},
        **METHODS[name],
    }
    config = TrainConfig.model_validate(given)
    torch.manual_seed(seed)
    networks = build_networks(config)
    for network in networks:
        if network is not None:
            _randomise(network)
            network.eval()
    return Checkpoint(config, *networks, Split((), (), (), (), (), {}), 0, "0")


@cache
def exported(name: str) -> tuple[Checkpoint, SearchModel]:
    """The random checkpoint of METHODS[name], and the model exported from it. Tests share both and change neither."""
    checkpoint = random_checkpoint(name)
    networks = checkpoint.generator, checkpoint.discriminator, checkpoint.encoder
    return checkpoint, export_once(
        *networks, search_settings(checkpoint, checkpoint.config.unmeasured_iterations), checkpoint.config.verdict_flips
    )


def _randomise(network: nn.Module) -> None:
    """Give a random value to everything that a fresh network sets to 0 or 1."""
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("bias"):
                nn.init.normal_(parameter, std=0.1)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5)
                assert module.running_mean is not None and module.running_var is not None
                module.running_mean.normal_(std=0.3)
                module.running_var.uniform_(0.5, 2.0)
