"""What several tests of runs share."""

from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import load_file

from tests.trainer.folder import tiny_config, write_folder


def write_config(folder: Path, **schedule: Any) -> Path:
    """A folder of images and the configuration of a tiny training on them."""
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(tiny_config(write_folder(folder / "data"), **schedule)))
    return path


def all_tensors(run: Path) -> dict[str, torch.Tensor]:
    """Every tensor of the checkpoint of a run: networks, moments, random state."""
    files = ("networks.safetensors", "optimizer.safetensors")
    return {f"{file} {k}": v for file in files for k, v in load_file(run / "checkpoint" / file).items()}


def assert_same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    """Equal to the bit."""
    assert a.keys() == b.keys()
    assert [k for k in a if not torch.equal(a[k], b[k])] == []
