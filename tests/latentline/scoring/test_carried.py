"""A discriminator is trusted on other kinds of made defects as far as it carries over to them, and nothing else is."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latentline.scoring.carried import carried_over
from latentline.scoring.weights import choose_weights

FAMILIES = ("d", "feature", "residual", "trunk")
TOLD = st.lists(st.floats(0, 3), min_size=4, max_size=4)


@given(TOLD, TOLD)
def test_only_a_discriminator_is_doubted(told: list[float], shown: list[float]) -> None:
    """Maps and trunk keep all trust, and nobody is trusted more than fully or less than not at all."""
    trust = carried_over(FAMILIES, np.array(told), np.array(shown))
    assert trust[2:].tolist() == [1, 1] and trust.min() >= 0 and trust.max() <= 1


def test_it_is_doubted_by_how_much_more_it_loses_than_the_others() -> None:
    """The maps keep half of what they tell and D a quarter: D is half trusted; a D that keeps as much is fully."""
    shown = np.array([4.0, 2.0, 1.0, 0.5])
    assert carried_over(FAMILIES, np.array([1.0, 1.0, 0.5, 0.25]), shown) == pytest.approx([0.5, 1, 1, 1])


def test_where_nothing_else_tells_anything_it_is_not_doubted() -> None:
    """Without maps or trunk that tell of both sorts of defects there is nothing to compare with."""
    assert carried_over(("d", "d"), np.array([0.1, 0.2]), np.array([3.0, 3.0])).tolist() == [1, 1]
    assert carried_over(("d", "l2"), np.array([0.1, 0.0]), np.array([3.0, 1.0])).tolist() == [1, 1]


def test_a_discriminator_that_knows_only_what_it_was_shown_loses_weight() -> None:
    """Its weight falls against the map's when defects of its own kinds are found far better, and only then."""
    rng = np.random.default_rng(0)
    low, names = rng.normal(size=(40, 2)), {"d_frame": 1.0, "l2_1px": 1.0}
    made = low + 0.8
    alone, _ = choose_weights(names, low, low[:0], made)
    learnt, why = choose_weights(names, low, low[:0], made, shown=low + np.array([3.0, 0.8]))
    general, _ = choose_weights(names, low, low[:0], made, shown=low + np.array([1.5, 1.5]))
    assert learnt["d_frame"] < 0.7 * alone["d_frame"] and why is not None and why.synthetic == 40
    assert general["d_frame"] == pytest.approx(alone["d_frame"], abs=0.05)
