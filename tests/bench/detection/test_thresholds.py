"""The bench of thresholds draws whole parts, and finds a promise kept where images are alike."""

import argparse

import numpy as np

from bench.detection.thresholds import draw_parts, outcomes
from trainer.evaluation.report import GOOD, ImageScore, Scores

OPTIONS = argparse.Namespace(seed=0, draws=150, rate=0.05)


def scores(parts: int, images: int) -> Scores:
    """Normal images, `images` of each part, which are alike, one of each high part; and an abnormal one far above."""
    rng = np.random.default_rng(0)
    found = {}
    for part in range(parts):
        centre = rng.normal()
        for i in range(images if centre < 1 else 1):
            score = centre + 0.1 * rng.normal()
            found[f"{part}-{i}"] = ImageScore(kind=GOOD, group=str(part), content="", score=score)
    return Scores(threshold=None, images=found | {"x": ImageScore(kind="hole", group="x", content="", score=99.0)})


def test_whole_parts_are_drawn() -> None:
    """Until so many images are there."""
    parts = np.arange(10).repeat(3).astype(str)
    taken = draw_parts(parts, 7, np.random.default_rng(0))
    assert taken.sum() == 9 and not set(parts[taken]) & set(parts[~taken])


def test_the_promise_about_new_parts_is_kept_only_by_counting_parts() -> None:
    """Where high parts have few images, counting images breaks the promise of 5 %, and counting parts keeps it."""
    found = outcomes(scores(90, 8), 240, OPTIONS)
    assert found is not None
    alarms = {kind: rows[:, 0].mean() for kind, rows in found.items()}
    assert alarms["exact"] < 0.06 and alarms["exact, images"] > 0.08
    assert all((rows[:, 1] == 1).all() for rows in found.values()) and found["exact"][:, 2].all()


def test_nothing_is_said_where_too_few_parts_are_left() -> None:
    """Twenty of 24 parts set the threshold, and four are left."""
    assert outcomes(scores(24, 1), 20, OPTIONS) is None
