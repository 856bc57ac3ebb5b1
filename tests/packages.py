"""Small networks with random weights, and model packages made from them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from export.package import ModelCard, write_model_package
from latentline.package.manifest import SearchSettings
from latentline.package.model_package import ModelPackage, SearchModel, load_package
from latentline.scoring.calibrate import Calibrated
from latentline.scoring.calibration import Calibration, Component
from latentline.scoring.maps import PixelStatistics
from latentline.search.searched_frame import MapKind
from latentline.vision.preprocessing import Preprocessing
from tests.exports import export_once
from trainer.networks.discriminator import Discriminator
from trainer.networks.frozen import freeze
from trainer.networks.generator import Generator

SIZE, LATENT = 16, 6
SEARCH = SearchSettings(seed=3, iterations=4, learning_rate=0.05, gamma=0.1, lam=0.1)


def networks(
    resolution: int = SIZE,
    channels: int = 1,
    latent: int = LATENT,
    base: int = 64,
    maximum: int = 8,
    seed: int = 0,
    patch_size: int = 1,
    patch_head: bool = False,
) -> tuple[Generator, Discriminator]:
    """Frozen float32 networks with random weights, random biases and a stddev constant other than the default."""
    torch.manual_seed(seed)
    pair = (
        Generator(resolution, channels, latent, base, maximum, patch_size),
        Discriminator(resolution, channels, base, maximum, patch_size, patch_head),
    )
    for network in pair:
        for name, parameter in network.named_parameters():
            if name.endswith("bias"):
                torch.nn.init.normal_(parameter, std=0.1)
    pair[1].stddev_mean.fill_(0.7)
    return freeze(*pair)


def points(resolution: int, channels: int, latent: int, count: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """z [count, latent] and x [count, channels, R, R] in [-1, 1], float64."""
    random = torch.Generator().manual_seed(seed)
    z = torch.randn(count, latent, generator=random, dtype=torch.float64)
    return z, 2 * torch.rand(count, channels, resolution, resolution, generator=random, dtype=torch.float64) - 1


@lru_cache
def tiny_model() -> SearchModel:
    """A model of 16 px grey tiles, not calibrated. Tests share it and do not change it."""
    return export_once(*networks(), None, SEARCH)


def write_tiny_package(out: Path) -> Path:
    """Write a complete package of the tiny model at `out`, with a made-up calibration. Returns `out`."""
    write_random_package(out, tiny_model())
    return out


def write_random_package(out: Path, model: SearchModel, kind: MapKind = "residual") -> ModelPackage:
    """Write a complete package of `model` at `out`, with a made-up calibration, and load it. kind: the map's."""
    spec = model.spec
    plane = np.ones((spec.channels, spec.tile_size, spec.tile_size), np.float32)
    component = "feature" if spec.has_discriminator else f"{kind}_1px"
    calibrated = Calibrated(
        Calibration(
            components=(Component(name=component, mean=0.0, std=1.0, weight=1.0),),
            threshold=2.0,
            map_threshold=4.0,
            false_alarm_rate=0.1,
            scored_normals=9,
            standardised_normals=8,
        ),
        PixelStatistics(0 * plane, plane, (1.0, 2.0), np.ones(2, np.float32), kind),
        np.arange(9.0),
        np.linspace(120.0, 136.0, 9),
    )
    card = ModelCard("tiny", "noisy_anogan", "0", Preprocessing(channels=spec.channels), overlap=0.25)
    write_model_package(out, model, card, calibrated)
    return load_package(out)


def scored(package: ModelPackage, *names: str) -> ModelPackage:
    """The package with a score of these components, all alike."""
    components = tuple(Component(name=name, mean=0.0, std=1.0, weight=1.0) for name in names)
    calibration = package.manifest.calibration.model_copy(update={"components": components})
    manifest = package.manifest.model_copy(update={"calibration": calibration})
    return replace(package, spec=manifest, manifest=manifest)


def rewrite(folder: Path, name: str, content: bytes) -> None:
    """Replace a file of a package folder and its hash in the manifest, as an attacker or a broken exporter would."""
    (folder / name).write_bytes(content)
    edit_manifest(folder, lambda manifest: manifest["files"].update({name: hashlib.sha256(content).hexdigest()}))


def edit_manifest(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Apply `change` to the manifest of a package folder."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))
