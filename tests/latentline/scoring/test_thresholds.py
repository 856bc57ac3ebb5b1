"""Thresholds keep what they promise, over images and over parts, and say what that is."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latentline.errors import DatasetError
from latentline.scoring.binomial import beta_interval
from latentline.scoring.thresholds import FEWEST_SMOOTH, Tail, fewest, promise, threshold


def of_images(scores: np.ndarray, rate: float, tail: Tail = "exact") -> float:
    """The threshold of images that show a part each."""
    return threshold(scores, [str(i) for i in range(len(scores))], promise(len(scores), len(scores), rate, tail))


def clustered(parts: int, most: int, rng: np.random.Generator) -> tuple[np.ndarray, list[str]]:
    """Scores of images of so many parts, 1 … `most` of each; those of one part are alike."""
    sizes = rng.integers(1, most + 1, parts)
    scores = rng.normal(size=parts).repeat(sizes) + 0.2 * rng.normal(size=sizes.sum())
    return scores, [str(part) for part, size in enumerate(sizes) for _ in range(size)]


@given(st.integers(1, 300), st.integers(1, 99))
def test_expected_false_alarms_never_exceed_the_promise(n: int, percent: int) -> None:
    """The lowest threshold with P(alarm) = 1 − k / (n + 1) at or below the promise is chosen, in exact fractions."""
    rate = percent / 100
    scores = np.arange(n, dtype=np.float64)
    if n + 1 < Fraction(100, percent):
        with pytest.raises(DatasetError, match=f"{n} are left"):
            of_images(scores, rate)
        return
    k = int(of_images(scores, rate)) + 1  # the k-th smallest is k - 1
    assert 1 - Fraction(k, n + 1) <= Fraction(percent, 100)
    assert k == 1 or 1 - Fraction(k - 1, n + 1) > Fraction(percent, 100)  # and it is the lowest such threshold


@pytest.mark.parametrize("tail", ["exact", "smooth"])
@pytest.mark.parametrize("draw", ["gumbel", "exponential", "normal"])
def test_the_promise_holds_in_simulation(tail: Tail, draw: str) -> None:
    """Over many draws of 40 calibration scores and a new one, 10 % or fewer are alarms up to chance, not far fewer."""
    draws = getattr(np.random.default_rng(0), draw)(size=(6000, 41))
    alarms = np.mean([row[40] > of_images(row[:40], 0.1, tail) for row in draws])
    assert 0.08 < alarms < 0.11


def test_the_promise_about_new_parts_holds_in_simulation() -> None:
    """Parts of 1 … 8 images: an image of a new part is an alarm in 10 % or fewer, and counting images would break that.

    A part with many images is seen to be high: a bias of the split that images of one part share.
    """
    rng = np.random.default_rng(1)
    alarms: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(1500):
        sizes = np.where(rng.random(13) < 0.3, 8, 1)
        centres = rng.normal(size=13) - 0.8 * (sizes == 8)  # the large parts are low ones
        new = centres[-1] + 0.2 * rng.normal(size=sizes[-1])
        scores = centres[:-1].repeat(sizes[:-1])
        scores += 0.2 * rng.normal(size=len(scores))
        parts = [str(part) for part, size in enumerate(sizes[:-1]) for _ in range(size)]
        promised = promise(len(scores), 12, 0.1)
        for by_parts in alarms:
            found = threshold(scores, parts, promised.model_copy(update={"new_parts": by_parts}))
            alarms[by_parts].append(float(np.mean(new > found)))
    assert 0.06 < np.mean(alarms[True]) <= 0.105
    assert np.mean(alarms[False]) > 0.115


@given(st.integers(19, 200), st.integers(0, 99))
@settings(max_examples=25)
def test_one_image_of_each_part_is_plain_split_conformal(n: int, seed: int) -> None:
    """Then the threshold is exactly the ⌈(n + 1)(1 − α)⌉-th smallest score, whatever the parts are called."""
    scores = np.random.default_rng(seed).normal(size=n)
    names = [f"part {i * 7 % n}" if n % 7 else str(i) for i in range(n)]
    assert threshold(scores, names, promise(n, n, 0.05)) == np.sort(scores)[int(np.ceil((n + 1) * 0.95 - 1e-9)) - 1]


@given(st.integers(0, 99), st.integers(1, 4), st.sampled_from(["exact", "smooth"]))
@settings(max_examples=25)
def test_copies_of_an_image_change_nothing_in_a_promise_about_parts(seed: int, copies: int, tail: Tail) -> None:
    """A part weighs the same however many images show it, and the order of the images does not matter."""
    rng = np.random.default_rng(seed)
    scores, parts = rng.normal(size=25), [str(i) for i in range(25)]
    once = threshold(scores, parts, promise(25, 25, 0.05, tail))
    many = rng.permutation(25 * copies)
    repeated, names = scores.repeat(copies)[many], np.repeat(parts, copies)[many].tolist()
    assert threshold(repeated, names, promise(25 * copies, 25, 0.05, tail)) == pytest.approx(once, abs=1e-9)


def test_too_few_parts_promise_only_something_about_these() -> None:
    """Forty images of 18 parts count as images, and the sentence says for whom, and how many parts are missing."""
    scores, parts = clustered(18, 8, np.random.default_rng(0))
    found = promise(len(scores), 18, 0.05)
    assert not found.new_parts and found.missing_parts == 1
    assert "of these same parts" in found.sentence and "promises nothing: that needs 1 more part" in found.sentence
    assert threshold(scores, parts, found) == of_images(scores, 0.05)
    assert promise(19, 19, 0.05).new_parts and "new part" in promise(40, 19, 0.05).sentence


@pytest.mark.parametrize("tail", ["exact", "smooth"])
def test_the_sentence_says_how_many_images_are_needed(tail: Tail) -> None:
    """One image fewer than are needed is refused, and the sentence says how many that are."""
    needed = 99 if tail == "exact" else FEWEST_SMOOTH
    assert fewest(0.01, tail) == needed
    with pytest.raises(DatasetError, match=f"at least {needed} held-out normal images"):
        promise(needed - 1, needed - 1, 0.01, tail)
    assert promise(needed, needed, 0.01, tail).counted == needed


def test_a_few_images_promise_more_with_a_smooth_tail_than_by_ranks() -> None:
    """Above all twelve scores; at a rate that does not reach the upper quarter, it is the exact threshold."""
    scores = np.random.default_rng(0).exponential(size=12)
    assert of_images(scores, 0.02, "smooth") > scores.max()
    assert of_images(scores, 0.5, "smooth") == of_images(scores, 0.5)


@given(st.integers(1, 40), st.integers(1, 40))
@settings(max_examples=20)
def test_the_interval_of_a_rate_holds_it_in_95_of_100_calibrations(a: int, b: int) -> None:
    """2.5 % of the draws of Beta(a, b) lie on either side."""
    low, high = beta_interval(a, b)
    draws = np.random.default_rng(a + 100 * b).beta(a, b, 4000)
    assert (draws < low).mean() == pytest.approx(0.025, abs=0.012)
    assert (draws > high).mean() == pytest.approx(0.025, abs=0.012)


def test_the_cost_of_few_images_is_said_with_a_number_that_helps() -> None:
    """Of 20 images the threshold is the largest score; with the number that helps, nothing is said any more."""
    few = promise(20, 20, 0.05)
    assert few.cost is not None and "the largest of their scores" in few.cost and f"{few.helpful} images" in few.cost
    assert promise(few.helpful, few.helpful, 0.05).cost is None
    low, high = promise(few.helpful, few.helpful, 0.05).luck or (0, 1)
    assert low < 0.05 < high <= 0.1
