"""Networks of one run under another configuration, where the two differ in nothing that the training saw."""

from __future__ import annotations

from pathlib import Path

from latentline.errors import ConfigError
from trainer.checkpoint import read_config, read_training_state, save_checkpoint
from trainer.config import TrainConfig
from trainer.data.split import Split
from trainer.methods import NoisyAnoGan
from trainer.run.config_differences import differences
from trainer.run.opening import with_resumed_scale
from trainer.run.training_data import open_training_source

UNSEEN = ("name", "data.known_abnormal_limit", "trunk.", "search.")  # keys of which a training sees nothing


def take_networks(trained: Path, folder: Path, config: TrainConfig) -> None:
    """Write the checkpoint of the run `trained` into `folder`, with `config` and the split that `config` gives.

    Raises ConfigError where the training would have been another one, DatasetError and CheckpointError.
    """
    config = with_resumed_scale(config, trained / "checkpoint")
    before, state = read_config(trained / "checkpoint"), read_training_state(trained / "checkpoint")
    changed = differences(before.model_dump(mode="json"), config.model_dump(mode="json"))
    split, old = open_training_source(config)[1], Split.from_json(state.metadata["split"])
    images = ("train", "held_out", *(("known_abnormal",) if isinstance(config.method, NoisyAnoGan) else ()))
    other = [key for key in changed if not key.startswith(UNSEEN)]
    other += [side for side in images if getattr(split, side) != getattr(old, side)]
    if other:
        raise ConfigError(f"{folder}: the training in {trained} saw other values of {', '.join(other)}; train it anew")
    folder.mkdir(parents=True, exist_ok=True)
    save_checkpoint(folder / "checkpoint", config, state, split)
