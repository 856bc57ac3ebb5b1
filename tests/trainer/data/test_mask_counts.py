"""Counted masks are said in words, and a set that cannot be right in one sentence."""

import logging

import numpy as np
import pytest

from trainer.data.mask_counts import MaskCounts, MaskFiles

EMPTY, FULL = np.zeros((4, 4), np.bool_), np.ones((4, 4), np.bool_)
SOME = np.eye(4, dtype=np.bool_)
MOST = ~SOME
FILES = MaskFiles(4, 3, "ground_truth/a/x.png")


def counted(*masks: np.ndarray | None) -> MaskCounts:
    """The counts of these masks."""
    counts = MaskCounts()
    for mask in masks:
        counts.add(mask)
    return counts


@pytest.mark.parametrize(
    ("masks", "files", "sentence"),
    [
        ([SOME, None], FILES, "4 files found, 3 matched to images; of 2 things 1 has a mask, and 1 of these is used"),
        ([SOME, EMPTY], None, "of 2 things 2 have a mask, and 1 of these is used, for 1 is empty"),
        (
            [None, None],
            FILES,
            "4 files found, 3 matched to images; of 2 things 0 have a mask, and 0 of these are used; where masks are "
            "looked for: docs/training.md, Masks",
        ),
        ([], FILES, "4 files found, 3 matched to images; 0 are used, for there is no thing"),
    ],
)
def test_the_counts_are_one_line(
    masks: list[np.ndarray | None], files: MaskFiles | None, sentence: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Files found and matched where masks are files, images with a mask, and masks used."""
    with caplog.at_level(logging.INFO):
        counted(*masks).say("thing", files, "data")
    assert caplog.messages == [f"masks: {sentence}"]


@pytest.mark.parametrize(
    ("masks", "files", "sentence"),
    [
        (
            [None, None],
            MaskFiles(4, 0, "ground_truth/a/x.png"),
            "none of 4 masks, such as ground_truth/a/x.png, belongs",
        ),
        ([EMPTY, EMPTY, None], FILES, "all 2 masks are empty"),
        ([FULL, FULL, EMPTY], FILES, "all 2 masks are abnormal over the whole image"),
        ([MOST, MOST, SOME], FILES, "2 of 3 masks mark more than half of the image; if that is inverted"),
        ([FULL, MOST], None, "2 of 2 masks mark more than half of the image"),
    ],
)
def test_masks_that_cannot_be_right_are_one_sentence(
    masks: list[np.ndarray | None], files: MaskFiles | None, sentence: str, caplog: pytest.LogCaptureFixture
) -> None:
    """None matches, all are empty, all are full, most are inverted: a warning that begins with the place."""
    counted(*masks).say("thing", files, "data")
    (warning,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert warning.startswith(f"data: {sentence}")


@pytest.mark.parametrize("masks", [[SOME], [SOME, EMPTY], [SOME, SOME, FULL], [None]])
def test_masks_that_may_be_right_are_not_doubted(masks: list[np.ndarray | None]) -> None:
    """A few empty or whole ones are."""
    assert counted(*masks).fault(FILES) is None
