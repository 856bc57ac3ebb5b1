"""Samples stand beside real tiles."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from latentline.vision.preprocessing import to_model_range
from trainer.pictures.grid import GAP, ROW_TITLE_HEIGHT, TITLE_HEIGHT
from trainer.run.pictures import GRID, LINE, save_samples


@pytest.mark.parametrize(("size", "side"), [(8, 64), (64, 64), (256, 128)])
@pytest.mark.parametrize("channels", [1, 3])
def test_real_tiles_stand_left_and_samples_right(tmp_path: Path, size: int, side: int, channels: int) -> None:
    """Row by row and in their own colours; small ones are enlarged and large ones reduced."""
    levels = np.arange(2 * GRID**2 * channels, dtype=np.uint8).reshape(2, GRID**2, 1, 1, channels)
    tiles, samples = (to_model_range(np.tile(one, (1, size, size, 1))) for one in levels)
    save_samples(tmp_path / "samples.png", tiles, samples, "samples", "now")
    picture = cv2.imread(str(tmp_path / "samples.png"))
    assert picture is not None
    step = side + LINE
    for square, colours in enumerate(levels[:, :, 0, 0]):
        y, x = TITLE_HEIGHT + ROW_TITLE_HEIGHT, GAP + square * (GRID * step + GAP)
        for place, colour in enumerate(colours):
            top, left = y + place // GRID * step, x + place % GRID * step
            assert (picture[top : top + side, left : left + side] == np.broadcast_to(colour, 3)).all()
