"""Training configurations: a YAML of configs/train, with what a bench changes in it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from latentline.base.strict_yaml import parse
from trainer.config import TrainConfig

CONFIGS = Path(__file__).parents[1] / "configs" / "train"


def read_config(path: Path, changes: Mapping[str, Any]) -> TrainConfig:
    """The configuration in `path` with changed values by dotted key, e.g. "schedule.seed". Raises ConfigError."""
    return _parsed(_read(path), changes, str(path))


def method_on(dataset: Path, method: str, changes: Mapping[str, Any]) -> TrainConfig:
    """The method of configs/train/methods/METHOD.yaml with data, preprocessing and augmentation of the YAML `dataset`.

    Raises ConfigError.
    """
    path = CONFIGS / "methods" / f"{method}.yaml"
    given = {key: value for key, value in _read(dataset).items() if key in ("data", "preprocessing", "augment")}
    return _parsed({**_read(path), **given}, changes, f"{path} on {dataset}")


def _read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return content


def _parsed(data: dict[str, Any], changes: Mapping[str, Any], source: str) -> TrainConfig:
    for place, value in changes.items():
        *sections, key = place.split(".")
        inner = data
        for section in sections:
            inner = inner.setdefault(section, {})
        inner[key] = value
    return parse(data, TrainConfig, source)
