"""A run continues only with the configuration it was started with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from latentline.errors import ConfigError
from trainer.checkpoint import read_config
from trainer.config import TrainConfig


def check_same_config(run: Path, config: TrainConfig, data_moved: bool) -> None:
    """Raise ConfigError when `config` differs from the run's; it names each key and both values.

    data_moved  accept another data.root
    """
    before = read_config(run / "checkpoint").model_dump(mode="json")
    differing = differences(before, config.model_dump(mode="json"))
    if data_moved:
        differing.pop("data.root", None)
    if differing:
        changes = "; ".join(f"{key} was {old!r}, is {new!r}" for key, (old, new) in differing.items())
        raise ConfigError(
            f"{run}: its checkpoint was trained with another configuration: {changes}; "
            f"use {run / 'config.yaml'} or another folder (if only the images have moved, give --data)"
        )


def differences(before: Mapping[str, Any], now: Mapping[str, Any], place: str = "") -> dict[str, tuple[Any, Any]]:
    """Dotted key -> (value before, value now), None where a key is absent."""
    found: dict[str, tuple[Any, Any]] = {}
    for key in dict.fromkeys([*before, *now]):
        old, new = before.get(key), now.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            found |= differences(old, new, f"{place}{key}.")
        elif old != new:
            found[f"{place}{key}"] = (old, new)
    return found
