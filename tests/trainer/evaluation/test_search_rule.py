"""The rule of `search.iterations: auto`: the shortest search that is not worse than the best beyond noise."""

from collections.abc import Sequence

import numpy as np
import pytest
from pydantic import ValidationError

from latentline.scoring.search_choice import SearchCandidate, SearchChoice
from trainer.evaluation.pixel_metrics import PixelCounts, PixelCurves
from trainer.evaluation.search_rule import FrameLabels, JudgedSearch, choose

EACH = 30
NORMAL, ABNORMAL = np.random.default_rng(0).normal(size=(2, EACH))


def _labels(parts: Sequence[str] | None = None) -> FrameLabels:
    own = tuple(str(i) for i in range(2 * EACH))
    return FrameLabels(np.arange(2 * EACH) >= EACH, own if parts is None else tuple(parts), np.ones(60, bool), True)


def _scores(shift: float | np.ndarray) -> np.ndarray:
    return np.concatenate([NORMAL, ABNORMAL + shift])


def _pixels(contrast: float) -> PixelCurves:
    """Maps of noise; the defect, a square of each abnormal frame, is brighter by `contrast`."""
    rng, counts = np.random.default_rng(1), PixelCounts()
    for index in range(2 * EACH):
        mask = np.zeros((12, 12), np.bool_)
        mask[3:6, 3:6] = index >= EACH
        counts.add((rng.normal(size=mask.shape) + contrast * mask).astype(np.float32), mask)
    return counts.curves()


def _choose(
    scores: dict[int, np.ndarray], contrasts: dict[int, float] | None = None, labels: FrameLabels | None = None
) -> SearchChoice:
    measured = [
        JudgedSearch(SearchCandidate(iterations=n), of_n, None if contrasts is None else _pixels(contrasts[n]), n + 1.0)
        for n, of_n in scores.items()
    ]
    return choose(measured, labels or _labels(), seed=0)


def test_a_clear_gain_is_taken() -> None:
    """The longer search separates the frames, and the shorter does not."""
    assert _choose({0: _scores(0.3), 30: _scores(3.0)}).chosen.iterations == 30


def test_a_gain_within_noise_is_not_taken() -> None:
    """The longer search is better, but not with 95 % certainty."""
    noise = np.random.default_rng(5).normal(0, 0.3, EACH)
    found = _choose({0: _scores(1.0), 30: _scores(1.2 + noise)})
    assert found.trials[1].image_gain.value > 0 and found.trials[1].image_gain.low < 0
    assert found.chosen.iterations == 0


def test_the_shortest_of_equals_is_taken() -> None:
    """All are alike; and of two that gain the same over none, the shorter."""
    assert _choose({n: _scores(1.0) for n in (0, 3, 10, 30)}).chosen.iterations == 0
    assert _choose({0: _scores(0.2), 3: _scores(0.3), 10: _scores(3), 30: _scores(3)}).chosen.iterations == 10


def test_a_search_that_does_harm_is_not_taken() -> None:
    """The longer the search, the more of the defect it copies."""
    found = _choose({0: _scores(2), 10: _scores(2)}, {0: 1.0, 10: 0.2})
    assert found.chosen.iterations == 0
    assert found.trials[1].pixel_gain is not None and found.trials[1].pixel_gain.high < 0


def test_pixels_alone_can_decide() -> None:
    """The images are judged alike, but the longer search shows where the defect is."""
    assert _choose({0: _scores(1.0), 10: _scores(1.0)}, {0: 0.2, 10: 1.5}).chosen.iterations == 10


def test_image_auroc_decides_where_the_figures_contradict_each_other() -> None:
    """Pixels ask for no search, images for one."""
    assert _choose({0: _scores(0.3), 10: _scores(3.0)}, {0: 1.5, 10: 0.2}).chosen.iterations == 10


def test_a_gain_on_one_part_is_noise() -> None:
    """The same figures, once of sixty parts and once with a single part behind the whole gain."""
    scores = {0: _scores(0.5), 10: _scores(np.where(np.arange(EACH) < 20, 2.5, 0.5))}
    assert _choose(scores).chosen.iterations == 10
    parts = [str(i) for i in range(EACH)] + ["one"] * 20 + [f"b{i}" for i in range(2)] * 5
    assert _choose(scores, labels=_labels(parts)).chosen.iterations == 0


def test_the_sentence_says_what_the_search_would_gain_and_cost() -> None:
    """Of none chosen, the gain that is forgone; of a chosen search, its gain; with the milliseconds it adds."""
    none = _choose({0: _scores(1.0), 30: _scores(1.0)})
    assert none.sentence == "n = 0; 30 steps gain +0.000 [+0.000, +0.000] image AUROC and cost 30 ms a tile"
    assert none.frames == "30 normal and 30 synthetic abnormal validation frames"
    some = _choose({10: _scores(0.2), 30: _scores(3.0), 100: _scores(3.0)}, {10: 0.5, 30: 0.5, 100: 0.5})
    assert some.sentence.startswith("n = 30; 30 steps gain +0.") and "+0.000] pixel AUROC over 10" in some.sentence


def test_a_choice_that_was_not_tried_is_refused() -> None:
    """The table must have what was chosen."""
    content = _choose({0: _scores(1.0), 3: _scores(1.0)}).model_dump()
    assert SearchChoice.model_validate(content).chosen.iterations == 0
    with pytest.raises(ValidationError, match="none of the trials"):
        SearchChoice.model_validate({**content, "chosen": {"iterations": 7}})
