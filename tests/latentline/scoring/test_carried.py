"""A discriminator is trusted on other kinds of made defects as far as it carries over to them, and nothing else is."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latentline.scoring.carried import told_of_made
from latentline.scoring.weights import choose_weights

FAMILIES = ("d", "feature", "residual", "trunk")
TOLD = st.lists(st.floats(0, 3), min_size=4, max_size=4)


@given(TOLD, TOLD)
def test_only_a_discriminator_is_doubted(told: list[float], shown: list[float]) -> None:
    """Maps and trunk tell what they tell of all kinds; a discriminator at most what it tells of the others."""
    found = told_of_made(FAMILIES, np.array(told), np.array(shown))
    assert found[2:] == pytest.approx((np.array(told) + shown)[2:] / 2)
    assert (found[:2] >= 0).all() and (found[:2] <= np.array(told)[:2]).all()


def test_it_is_doubted_by_how_much_more_it_loses_than_the_others() -> None:
    """The maps keep half of what they tell and D a quarter: D is half trusted; a D that keeps as much is fully."""
    found = told_of_made(FAMILIES, np.array([1.0, 1.0, 0.5, 0.25]), np.array([4.0, 2.0, 1.0, 0.5]))
    assert found[:2] == pytest.approx([0.5, 1])


def test_where_nothing_else_tells_anything_it_is_not_doubted() -> None:
    """Without maps or trunk that tell of both sorts of defects there is nothing to compare with."""
    assert told_of_made(("d", "d"), np.array([0.1, 0.2]), np.array([3.0, 3.0])).tolist() == [0.1, 0.2]
    assert told_of_made(("d", "l2"), np.array([0.1, 0.0]), np.array([3.0, 1.0])).tolist() == [0.1, 0.5]


def test_a_discriminator_that_knows_only_what_it_was_shown_loses_weight() -> None:
    """Its weight falls against the map's when defects of its own kinds are found far better."""
    rng = np.random.default_rng(0)
    low, names = rng.normal(size=(40, 2)), {"d_frame": 1.0, "l2_1px": 1.0}
    alone, _ = choose_weights(names, low, low[:0], low + 0.8)
    learnt, why = choose_weights(names, low, low[:0], low + 0.8, shown=low + np.array([3.0, 0.8]))
    general, _ = choose_weights(names, low, low[:0], low + 0.8, shown=low + 0.8)
    assert learnt["d_frame"] < 0.7 * alone["d_frame"] and why is not None and why.synthetic == 40
    assert general == pytest.approx(alone)
