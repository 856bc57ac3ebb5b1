"""Samples stand beside real tiles."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from matplotlib.figure import Figure

from latentline.vision.preprocessing import to_model_range
from trainer.loops.training import StepReport
from trainer.pictures.grid import GAP, ROW_TITLE_HEIGHT, TITLE_HEIGHT
from trainer.run.history import Record
from trainer.run.pictures import GRID, LINE, save_curves, save_samples


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


def test_a_curve_has_a_gap_where_nothing_was_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No line joins D(x) over the encoder's phase, whose small loss is legible on an axis of powers of ten."""
    figures: list[Figure] = []

    def figure(**options: object) -> Figure:
        figures.append(Figure(**options))  # type: ignore[arg-type]
        return figures[-1]

    monkeypatch.setattr("matplotlib.figure.Figure", figure)
    game: tuple[dict[str, float], dict[str, float]] = {"discriminator": 2.0}, {"real": 0.4}
    encoder: tuple[dict[str, float], dict[str, float]] = {"encoder": 0.01}, {}
    phases: list[tuple[dict[str, float], dict[str, float]]] = [game, game, encoder, encoder, game, game]
    records = [Record(StepReport(i, 0, 1.0, *phase)) for i, phase in enumerate(phases)]
    save_curves(tmp_path / "curves.png", records)
    losses, probabilities = figures[0].axes
    (line,) = probabilities.lines
    assert np.isnan(np.asarray(line.get_ydata(), float)).tolist() == [False, False, True, True, False, False]
    assert losses.get_yscale() == "log" and probabilities.get_yscale() == "linear"
