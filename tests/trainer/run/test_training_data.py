"""What a training says of the masks that it learns from."""

import logging
from pathlib import Path

import cv2
import numpy as np
import pytest

from latentline.scoring.held_out import split_held_out
from latentline.vision.images import read_image
from tests.trainer.folder import tiny_config, write_folder
from trainer.config import TrainConfig
from trainer.run.training_data import load_training_data, open_training_source


@pytest.mark.parametrize("values", ["class ids", "16 bit", "none"])
def test_the_tiles_that_train_have_their_masks(tmp_path: Path, values: str, caplog: pytest.LogCaptureFixture) -> None:
    """Masks of every depth reach the patch head; that it has none to learn from is a warning."""
    root = write_folder(tmp_path, defects=6)
    for path in (root / "ground_truth" / "square").iterdir():
        mask = (read_image(path) > 0).astype("uint16" if values == "16 bit" else "uint8")
        assert cv2.imwrite(str(path), mask * (0 if values == "none" else 2))
    method = {"kind": "noisy_anogan", "patch_head": 1.0}
    caplog.set_level(logging.INFO)
    data = load_training_data(TrainConfig.model_validate({**tiny_config(root), "method": method}))
    assert data.abnormal is not None
    _, masks, known = data.abnormal.draw_with_masks(16, np.random.default_rng(0))
    marked = values != "none"
    assert bool(known.all()) == bool(known.any()) == marked and bool(masks.any()) == marked
    assert f"{3 if marked else 0} of 3 known-abnormal images train with a mask" in caplog.messages
    assert ("method.patch_head learns from masks, and there are none" in caplog.text) != marked


def test_held_out_images_that_cannot_be_read_are_said_before_the_training(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Two of 30 held-out images are cut short: they are named, and what calibration will lack stands in the log."""
    config = TrainConfig.model_validate(tiny_config(write_folder(tmp_path, train=60)))
    assert load_training_data(config).shortage is None
    source, split = open_training_source(config)
    scored = split_held_out(split.held_out, source.groups(), config.schedule.seed)[1]
    for name in scored[:2]:
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:900])
    caplog.clear()
    shortage = load_training_data(config).shortage
    assert shortage is not None and "18 are left" in shortage and shortage in caplog.messages
    assert all(any("skipped: " in line and name in line for line in caplog.messages) for name in scored[:2])
