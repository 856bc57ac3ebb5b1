"""Every kind of data has its source."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pydantic import TypeAdapter

from latentline.vision.preprocessing import Preprocessing
from tests.trainer.digits import write_mnist
from tests.trainer.folder import write_folder
from trainer.data.caltech import CaltechSource
from trainer.data.folders import FolderSource
from trainer.data.mnist import MnistSource
from trainer.data.mosaics import MosaicSource
from trainer.data.nanotwice import NanoTwiceSource
from trainer.data.settings import DataConfig
from trainer.data.sources import open_source


def write_clutter(root: Path) -> None:
    """A category and clutter, of eight images each."""
    for category in ("001.cup", "257.clutter"):
        for index in range(8):
            (root / category).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(root / category / f"{index}.png"), np.full((9, 9), index, np.uint8))


@pytest.mark.parametrize(
    ("settings", "source_class", "write"),
    [
        ({}, FolderSource, write_folder),
        ({"kind": "folder"}, FolderSource, write_folder),
        ({"kind": "mnist", "normal_digit": 3}, MnistSource, write_mnist),
        ({"kind": "ir_mnist", "train_mosaics": 2, "held_out_mosaics": 2, "test_mosaics": 2}, MosaicSource, write_mnist),
        ({"kind": "caltech256"}, CaltechSource, write_clutter),
        ({"kind": "nanotwice"}, NanoTwiceSource, write_folder),
    ],
)
def test_each_kind_opens_its_source(tmp_path: Path, settings: Any, source_class: type, write: Any) -> None:
    """And every name of its split can be read, on no two sides, the same for the same seed."""
    write(tmp_path)
    config: DataConfig = TypeAdapter(DataConfig).validate_python({**settings, "root": str(tmp_path)})
    source = open_source(config, Preprocessing())
    assert isinstance(source, source_class) and source.place == str(tmp_path)
    split = source.split(0)
    sides = (split.train, split.held_out, split.known_abnormal, split.validation_abnormal, split.test_good)
    names = [name for side in (*sides, *split.test_abnormal.values()) for name in side]
    assert len(set(names)) == len(names) and open_source(config, Preprocessing()).split(0) == split
    for name in names:
        image = source.read(name)
        mask = source.mask(name, (image.shape[0], image.shape[1]))
        assert image.dtype == np.uint8 and (mask is None or mask.shape == image.shape[:2])
