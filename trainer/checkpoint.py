"""A checkpoint: one folder, weights as safetensors, everything else as text. Written whole or not at all.

config.yaml             the complete training configuration
state.json              images seen, split, state of the crop generator, code version
networks.safetensors    generator, its running average, discriminator, encoder (once trained)
optimizer.safetensors   Adam's moments, the latent generator's state: what a resume needs and an export does not
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from latentline.atomic import new_folder
from latentline.errors import CheckpointError, ConfigError
from latentline.strict_config import load_yaml
from latentline.version import software_version
from trainer.config import NetworkConfig, TrainConfig
from trainer.data.split import Split
from trainer.networks.discriminator import Discriminator
from trainer.networks.encoder import Encoder
from trainer.networks.generator import Generator


@dataclass(frozen=True)
class Checkpoint:
    """A training at one moment. `generator` is the running average; the networks are in eval mode.

    encoder  None where the configuration asks for none, or the training has not come to it
    """

    config: TrainConfig
    generator: Generator
    discriminator: Discriminator
    encoder: Encoder | None
    split: Split
    images: int
    code_version: str


def build_networks(config: NetworkConfig, channels: int) -> tuple[Generator, Discriminator]:
    """Fresh networks from torch's global random state."""
    size = (config.fmap_base, config.fmap_max)
    return (
        Generator(config.resolution, channels, config.latent_size, *size),
        Discriminator(config.resolution, channels, *size),
    )


def build_encoder(config: NetworkConfig, channels: int) -> Encoder:
    """A fresh encoder from torch's global random state, with half the discriminator's feature maps: it only begins."""
    return Encoder(config.resolution, channels, config.latent_size, config.fmap_base // 2, config.fmap_max // 2)


def save_checkpoint(
    folder: Path,
    config: TrainConfig,
    networks: dict[str, Tensor],
    optimizer: dict[str, Tensor],
    state: dict[str, Any],
) -> None:
    """Write a checkpoint, replacing the one at `folder` in one step."""
    with new_folder(folder) as new:
        (new / "config.yaml").write_text(dump_config(config), encoding="utf-8")
        (new / "state.json").write_text(json.dumps({**state, "code_version": software_version()}), encoding="utf-8")
        (new / "networks.safetensors").write_bytes(save(networks))
        (new / "optimizer.safetensors").write_bytes(save(optimizer))


def dump_config(config: TrainConfig) -> str:
    """The configuration as YAML, every default spelled out."""
    return str(yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False))


def read_state(folder: Path) -> dict[str, Any]:
    """state.json of a checkpoint. Raises CheckpointError."""
    try:
        state: dict[str, Any] = json.loads((folder / "state.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise CheckpointError(f"{folder}: not a checkpoint folder (no readable state.json)") from None
    return state


def read_tensors(folder: Path, name: str) -> dict[str, Tensor]:
    """One safetensors file of a checkpoint. Raises CheckpointError."""
    try:
        return load((folder / name).read_bytes())
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{folder / name}: the file is missing or broken ({error})") from None


def load_checkpoint(folder: Path) -> Checkpoint:
    """Networks, configuration and split of a checkpoint folder. Raises CheckpointError in one sentence."""
    if (folder / "checkpoint").is_dir():  # a run folder was given
        folder = folder / "checkpoint"
    state = read_state(folder)
    try:
        config = load_yaml(folder / "config.yaml", TrainConfig)
    except ConfigError as error:
        raise CheckpointError(f"{folder}: the checkpoint is of another version: {error}") from None
    generator, discriminator = build_networks(config.network, config.preprocessing.channels)
    tensors = read_tensors(folder, "networks.safetensors")
    try:
        generator.load_state_dict(part(tensors, "average"))
        discriminator.load_state_dict(part(tensors, "discriminator"))
        encoder = None
        if weights := part(tensors, "encoder"):
            encoder = build_encoder(config.network, config.preprocessing.channels)
            encoder.load_state_dict(weights)
            encoder.eval()
        split = Split.from_json(state["split"])
        images, made_by = int(state["images"]), str(state["code_version"])
    except (KeyError, RuntimeError, TypeError):
        raise CheckpointError(f"{folder}: weights and configuration do not fit together") from None
    return Checkpoint(config, generator.eval(), discriminator.eval(), encoder, split, images, made_by)


def part(tensors: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    """The tensors under `name.`, without that prefix."""
    return {k[len(name) + 1 :]: v for k, v in tensors.items() if k.startswith(name + ".")}
