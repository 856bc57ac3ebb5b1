"""Copies of one picture on both sides of a split are noticed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from latentline.vision.content import pixel_hash
from trainer.data.held_out import HeldOut
from trainer.evaluation.copies import seen_images


def test_held_out_copies_of_training_images_are_said(caplog: pytest.LogCaptureFixture) -> None:
    """Only normal ones count; what trained and what calibrates is known afterwards."""
    frames = [np.full((8, 8), level, np.uint8) for level in range(4)]
    checkpoint = cast(Any, SimpleNamespace(trained_on=frozenset({pixel_hash(frames[0]), pixel_hash(frames[3])})))
    seen = seen_images(checkpoint, HeldOut([frames[0]], [frames[1]], [frames[3]]))
    assert seen == {pixel_hash(frame) for frame in (frames[0], frames[1], frames[3])}
    assert "1 of 2 held-out normal images is a copy" in caplog.text
    caplog.clear()
    seen_images(checkpoint, HeldOut([frames[1]], [frames[2]], []))
    assert not caplog.messages
