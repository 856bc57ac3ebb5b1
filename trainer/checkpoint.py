"""A checkpoint: one folder with weights as safetensors and everything else as text, written whole or not at all.

config.yaml             the complete training configuration
state.json              images shown, split, hashes of images that trained, state of the crop generator, code version
networks.safetensors    generator (of an autoencoder: decoder), its running average, discriminator, finished encoder
optimizer.safetensors   what only a resume needs: Adam's moments, states of random generators, an unfinished encoder
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from latentline.base.atomic import new_folder
from latentline.base.strict_yaml import load_yaml
from latentline.base.version import software_version
from latentline.errors import CheckpointError, ConfigError
from trainer.config import TrainConfig
from trainer.data.split import Split
from trainer.loops.training import TrainingState, tensors_under
from trainer.networks.discriminator import Discriminator
from trainer.networks.encoder import Encoder
from trainer.networks.factory import CodingEncoder, Decoder, Networks, build_networks
from trainer.networks.generator import Generator
from trainer.networks.older_weights import has_older_kernels, with_free_kernels
from trainer.settings.search import Iterations, TilesSetting


@dataclass(frozen=True)
class Checkpoint:
    """A training at one moment. The networks are in eval mode and on the CPU.

    generator      z -> image: the running average of a GAN's generator, or an autoencoder's decoder
    discriminator  None where the method has none
    encoder        image -> z; None where the configuration has none, or its training is not finished
    images         shown so far
    trained_on     `pixel_hash` of every image that ever trained these networks; empty: an older version wrote it
    """

    config: TrainConfig
    generator: Generator | Decoder
    discriminator: Discriminator | None
    encoder: Encoder | CodingEncoder | None
    split: Split
    images: int
    code_version: str
    trained_on: frozenset[str] = frozenset()


def save_checkpoint(folder: Path, config: TrainConfig, state: TrainingState, split: Split) -> None:
    """Write a checkpoint and replace the one at `folder` in one step. After an OSError the old one is still there."""
    metadata = {**state.metadata, "split": split.to_json(), "code_version": software_version()}
    with new_folder(folder) as new:
        (new / "config.yaml").write_text(dump_config(config), encoding="utf-8")
        (new / "state.json").write_text(json.dumps(metadata), encoding="utf-8")
        (new / "networks.safetensors").write_bytes(save(state.networks))
        (new / "optimizer.safetensors").write_bytes(save(state.optimizer))


def read_training_state(folder: Path) -> TrainingState:
    """The state that `save_checkpoint` wrote; its metadata holds the split, too. Raises CheckpointError.

    The training of a checkpoint with 3x3 kernels cannot continue: Adam's moments have no 4x4 counterpart.
    """
    networks, optimizer = (read_tensors(folder, f"{name}.safetensors") for name in ("networks", "optimizer"))
    if has_older_kernels(networks):
        raise CheckpointError(
            f"{folder}: an older version wrote this checkpoint, and its training cannot continue; "
            "evaluate and export still read it, so train again in a new folder"
        )
    return TrainingState(networks, optimizer, read_state(folder))


def dump_config(config: TrainConfig) -> str:
    """The configuration as YAML, with every default."""
    return str(yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False))


def read_state(folder: Path) -> dict[str, Any]:
    """Read state.json of a checkpoint. Raises CheckpointError."""
    try:
        state: dict[str, Any] = json.loads((folder / "state.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        what = "not a checkpoint folder (no readable state.json)" if folder.is_dir() else "there is no such folder"
        what = "this is a file" if folder.is_file() else what
        raise CheckpointError(f"{folder}: {what}; give a run folder that `latentline-train fit` wrote") from None
    return state


def read_tensors(folder: Path, name: str) -> dict[str, Tensor]:
    """Read one safetensors file of a checkpoint. Raises CheckpointError."""
    try:
        return load((folder / name).read_bytes())
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{folder / name}: missing or broken ({error}); restore it, or train again") from None


def load_checkpoint(folder: Path) -> Checkpoint:
    """Load networks, configuration and split from a checkpoint folder, or from a run folder. Raises CheckpointError."""
    if (folder / "checkpoint").is_dir():
        folder = folder / "checkpoint"
    state = read_state(folder)
    config = read_config(folder)
    tensors = with_free_kernels(read_tensors(folder, "networks.safetensors"))
    try:
        networks = _load_networks(config, tensors)
        split = Split.from_json(state["split"])
        images, code_version = int(state["images"]), str(state["code_version"])
        trained_on = frozenset[str]().union(*state.get("trained_on", {}).values())
    except (KeyError, RuntimeError, TypeError, AttributeError):
        raise CheckpointError(
            f"{folder}: its weights do not fit its configuration; restore it, or train again"
        ) from None
    return Checkpoint(config, *networks, split, images, code_version, trained_on)


def read_config(folder: Path) -> TrainConfig:
    """Read config.yaml of a checkpoint. Raises CheckpointError."""
    try:
        return load_yaml(folder / "config.yaml", TrainConfig)
    except ConfigError as error:
        if not (folder / "config.yaml").exists():
            read_state(folder)  # says that this is no checkpoint
        raise CheckpointError(f"{folder}: another version wrote this checkpoint: {error}") from None


def search_iterations(path: Path, checkpoint: Checkpoint, given: Iterations | None) -> Iterations:
    """The search iterations of the checkpoint at `path`: those `given`, or for None the configuration's.

    Raises CheckpointError when the encoder is not finished, ConfigError when the iterations do not fit the method.
    """
    config = checkpoint.config
    if config.schedule.encoder_images and checkpoint.encoder is None:
        raise CheckpointError(f"{path}: its training has not finished the encoder; continue with fit --resume")
    if given is None:
        return config.search.iterations
    if given not in (0, "auto") and not config.method.is_gan:
        raise ConfigError(f"method {config.method.kind} has no search, so leave out --iterations")
    if given == 0 and checkpoint.encoder is None:
        raise ConfigError(f"{path}: --iterations 0 needs an encoder, but this training has none; give 1 or more")
    return given


def with_searched_tiles(checkpoint: Checkpoint, given: TilesSetting | None) -> Checkpoint:
    """The checkpoint with another number of searched tiles; None: its configuration's.

    Raises ConfigError where there is no discriminator for a first look.
    """
    if given is None:
        return checkpoint
    if isinstance(given, int) and checkpoint.discriminator is None:
        raise ConfigError(
            f"method {checkpoint.config.method.kind} has no discriminator to look first: give --tiles all"
        )
    search = checkpoint.config.search.model_copy(update={"tiles": given})
    return replace(checkpoint, config=checkpoint.config.model_copy(update={"search": search}))


def _load_networks(config: TrainConfig, tensors: dict[str, Tensor]) -> Networks:
    generator, discriminator, encoder = build_networks(config)
    if config.method.is_gan and not tensors_under(tensors, "encoder"):
        encoder = None  # its training is not finished
    generator.load_state_dict(tensors_under(tensors, "average" if config.method.is_gan else "generator"))
    for name, network in (("discriminator", discriminator), ("encoder", encoder)):
        if network is not None:
            network.load_state_dict(tensors_under(tensors, name))
            network.eval()
    return generator.eval(), discriminator, encoder
