"""Normal test images that break the promise are told from bad luck, and few held-out images are said to be few."""

import logging

import numpy as np
import pytest

from latentline.scoring.thresholds import Tail, promise, threshold
from trainer.config import TrainConfig
from trainer.evaluation.kept_promise import broken_promise, log_promise

CONFIG = TrainConfig.model_validate(
    {"data": {"root": "images", "held_out_fraction": 0.1}, "method": {"kind": "anogan"}}
)


def alone(count: int) -> np.ndarray:
    """Each image a part of its own."""
    return np.arange(count).astype(str)


@pytest.mark.parametrize("tail", ["exact", "smooth"])
def test_new_images_like_the_old_ones_break_nothing(tail: Tail) -> None:
    """In one of a hundred calibrations at most, however many parts the new images show, and of how many images each."""
    rng = np.random.default_rng(0)
    broken = 0
    for _ in range(800):
        centres = rng.normal(size=(30, 1))
        scores = centres[:20].ravel()
        found = threshold(scores, list(alone(20)), promise(20, 20, 0.05, tail))
        new = centres[20:] + 0.1 * rng.normal(size=(10, 4))
        alarms = (new > found).ravel()
        broken += broken_promise(alarms, alone(10).repeat(4), promise(20, 20, 0.05, tail)) is not None
    assert broken <= 12


def test_images_unlike_the_old_ones_break_the_promise() -> None:
    """The sentence has both rates and says what to do: with too few parts, how many more."""
    alarms = np.arange(60) < 32
    kept = broken_promise(alarms, alone(60), promise(60, 60, 0.05))
    assert kept is not None and kept.startswith("0.53 observed, 0.05 promised") and "images like them" in kept
    few = broken_promise(alarms, alone(60), promise(60, 2, 0.05))
    assert few is not None and "at least 17 more parts" in few


def test_many_alarms_of_one_part_are_one_alarm() -> None:
    """A part that is an alarm in all its images could be bad luck; so could none at all, and no test image."""
    parts = np.repeat(alone(10), 30)
    assert broken_promise(parts == "0", parts, promise(40, 40, 0.05)) is None
    assert broken_promise(parts == "none", parts, promise(40, 40, 0.05)) is None
    assert broken_promise(np.zeros(0, bool), np.zeros(0, str), promise(40, 40, 0.05)) is None


def test_few_held_out_images_are_warned_of_with_a_setting(caplog: pytest.LogCaptureFixture) -> None:
    """The setting holds out as many as would help; where that is too much, normal images are asked for."""
    with caplog.at_level(logging.INFO):
        log_promise(promise(40, 40, 0.05), CONFIG)
    assert "it rests on 40 held-out normal images" in caplog.text
    assert "119 images would help (data.held_out_fraction: 0.3 instead of 0.1" in caplog.text
    caplog.clear()
    log_promise(promise(20, 20, 0.05), CONFIG)
    assert "add normal images" in caplog.text
    caplog.clear()
    log_promise(promise(200, 200, 0.05), CONFIG)
    assert caplog.text == ""
