"""A grid shows its pictures unchanged, and its words beside them."""

import numpy as np

from trainer.pictures.grid import ColourScale, Column, draw_grid


def _find(canvas: np.ndarray, picture: np.ndarray) -> tuple[int, int]:
    """The only corner (y, x) at which the picture stands in the canvas."""
    height, width = picture.shape[:2]
    corners = np.argwhere((canvas == picture[0, 0]).all(axis=2))
    found = [(y, x) for y, x in corners if np.array_equal(canvas[y : y + height, x : x + width], picture)]
    assert len(found) == 1
    return found[0]


def test_pictures_stand_in_rows_and_columns_pixel_by_pixel() -> None:
    """Columns from left to right, rows from top to bottom, no pixel resampled."""
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (2, 3, 40, 30, 3), dtype=np.uint8)
    columns = [Column("one\ntwo", list(pictures[0])), Column("three", list(pictures[1]))]
    canvas = draw_grid(columns, ["a", "b", "c"])
    corners = np.array([[_find(canvas, picture) for picture in column] for column in pictures])
    assert (np.diff(corners[..., 0], axis=1) > 40).all() and (np.diff(corners[..., 0], axis=0) == 0).all()
    assert (np.diff(corners[..., 1], axis=0) > 30).all() and (np.diff(corners[..., 1], axis=1) == 0).all()


def test_words_are_written_outside_the_pictures() -> None:
    """Titles of columns and rows and the meaning of colours leave ink; a formula's signs in a name are no formula."""
    black = [np.zeros((40, 30, 3), np.uint8)] * 2
    scale = ColourScale(np.full((256, 3), (0, 0, 255), np.uint8), "")
    plain = draw_grid([Column("", black, scale)], ["", ""])
    worded = [
        draw_grid([Column("title", black, scale)], ["", ""]),
        draw_grid([Column("", black, ColourScale(scale.colours, "meaning"))], ["", ""]),
        draw_grid([Column("", black, scale)], ["", "a$_{$"]),
    ]
    y, x = np.argwhere((plain == 0).all(axis=2))[0]
    for canvas in worded:
        assert canvas.shape == plain.shape and (canvas != plain).any()
        np.testing.assert_array_equal(canvas[y : y + 40, x : x + 30], 0)
    assert (plain[:y] == (0, 0, 255)).all(axis=2).sum() > 30  # the bar of the scale
