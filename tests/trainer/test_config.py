from __future__ import annotations

from pathlib import Path

import pytest

from latentline.base.strict_yaml import load_yaml
from tests.paths import ROOT
from trainer.config import TrainConfig

FILES = sorted((ROOT / "configs" / "train").rglob("*.yaml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_ready_configuration_loads(path: Path) -> None:
    """Every training file that a user is told to copy is valid."""
    assert load_yaml(path, TrainConfig).name != "model"
