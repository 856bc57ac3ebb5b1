"""What a training says of the masks that it learns from."""

import logging
from pathlib import Path

import cv2
import numpy as np
import pytest

from latentline.vision.images import read_image
from tests.trainer.folder import tiny_config, write_folder
from trainer.config import TrainConfig
from trainer.run.training_data import load_training_data


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
