"""Weights maximise the stated posterior, and a few images move them little."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from sklearn.metrics import roc_auc_score

from latentline.scoring.weights import (
    FEWEST_ABNORMAL,
    FREEDOM,
    SMALLEST_SHARE,
    STEEPEST,
    auroc,
    choose_weights,
    fit_weights,
)


def images(normal: int, abnormal: int, shift: list[float], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Standardised components; those of abnormal images lie `shift` higher."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(normal, len(shift))), rng.normal(size=(abnormal, len(shift))) + shift


@given(st.integers(0, 1000), st.integers(5, 40))
@settings(max_examples=15)
def test_the_fit_is_the_maximum_of_the_posterior(seed: int, abnormal: int) -> None:
    """Another optimiser, without gradients, finds the same weights for the posterior as written down."""
    shift = list(np.random.default_rng(seed).uniform(-0.5, 2, 4))
    low, high = images(30, abnormal, shift, seed)
    start = np.array([0.4, 0.3, 0.3, 0.0])

    def cost(p: np.ndarray) -> float:
        total = 0.0
        for side, sign in ((low, -1), (high, 1)):
            margin = sign * (p[1] * side @ p[2:] / 4 + p[0])
            total += min(len(low), len(high)) * float(np.mean(np.log1p(np.exp(-margin))))
        priors = ((p[2:] - 4 * start) ** 2).sum() / (2 * FREEDOM**2) + p[1] ** 2 / (2 * STEEPEST**2)
        return total + float(priors)

    first = np.array([0.0, 1.0, *(4 * start)])
    bounds = [(None, None), *[(0, None)] * 5]
    reference = minimize(cost, first, method="SLSQP", bounds=bounds, options={"ftol": 1e-12, "maxiter": 500}).x[2:]
    expected = reference / reference.sum()
    expected[expected < SMALLEST_SHARE] = 0
    if np.abs(reference / reference.sum() - SMALLEST_SHARE).min() > 1e-3:  # else rounding decides about the cut
        np.testing.assert_allclose(fit_weights(low, high, start), expected / expected.sum(), atol=5e-3)


@given(st.integers(0, 100), st.integers(0, 60))
@settings(max_examples=30)
def test_weights_are_shares(seed: int, abnormal: int) -> None:
    """Weights sum to 1, each is 0 or at least SMALLEST_SHARE, and the same images give the same weights."""
    low, high = images(20, abnormal, [1.0, 0.3, 0.0, -1.0], seed)
    weights = fit_weights(low, high, np.full(4, 0.25))
    assert weights.sum() == pytest.approx(1) and (weights >= 0).all()
    assert not ((weights > 0) & (weights < SMALLEST_SHARE * 0.999)).any()
    np.testing.assert_array_equal(weights, fit_weights(low, high, np.full(4, 0.25)))


def test_a_useless_component_loses_its_weight() -> None:
    """Of a component that separates, one of noise and one that points the wrong way, the first gets the weight."""
    low, high = images(200, 100, [2.0, 0.0, -2.0])
    weights = fit_weights(low, high, np.full(3, 1 / 3))
    assert weights[0] > 0.8 and weights[2] == 0


def test_more_images_move_the_weights_further() -> None:
    """The more images agree, the further the weights move from the prior."""
    start = np.full(3, 1 / 3)
    low, high = images(10, 10, [0.8, 0.3, 0.0])
    moved = [
        np.linalg.norm(fit_weights(np.tile(low, (n, 1)), np.tile(high, (n, 1)), start) - start) for n in (1, 3, 10, 100)
    ]
    assert moved == sorted(moved) and moved[-1] > 1.1 * moved[0]


@given(st.integers(0, 100), st.integers(1, 4))
@settings(max_examples=15)
def test_images_of_one_part_count_as_one(seed: int, exposures: int) -> None:
    """Repeating every image under the name of its part does not change the weights."""
    low, high = images(12, 9, [1.0, 0.3, -0.5], seed)
    given_weights, made = {"a": 0.5, "b": 0.3, "c": 0.2}, high[:0]
    alone, _ = choose_weights(given_weights, low, high, made)
    names = tuple([str(i) for i in range(len(side)) for _ in range(exposures)] for side in (low, high))
    again, why = choose_weights(
        given_weights, low.repeat(exposures, axis=0), high.repeat(exposures, axis=0), made, (names[0], names[1])
    )
    assert again == pytest.approx(alone, abs=1e-4) and why is not None and why.fitted_auroc is not None


def test_many_images_of_few_parts_move_nothing() -> None:
    """Forty images of four parts count as four, which are too few to move the weights."""
    low, high = images(40, 40, [2.0, 0.0])
    weights, why = choose_weights({"a": 1, "b": 1}, low, high, high[:0], (None, [str(i % 4) for i in range(40)]))
    assert weights == {"a": 0.5, "b": 0.5} and why is not None and why.fitted_auroc is None


def test_too_few_images_move_nothing() -> None:
    """With fewer than five abnormal images the given weights stay, and no AUROC of fitted weights is reported."""
    low, high = images(20, FEWEST_ABNORMAL - 1, [5.0, 0.0])
    normal, real, synthetic = (np.pad(side, [(0, 0), (0, 1)]) for side in (low, high, high[:0]))
    weights, why = choose_weights({"a": 1, "b": 3, "coarse": 0}, normal, real, synthetic)
    assert weights == {"a": 0.25, "b": 0.75}
    assert why is not None and why.fitted_auroc is None and why.abnormals == 4 and why.dropped == ("coarse",)
    assert choose_weights({"a": 1, "b": 1}, low, high[:0], high[:0]) == ({"a": 0.5, "b": 0.5}, None)


def test_a_component_without_a_given_weight_can_earn_one() -> None:
    """A component whose given weight is 0 gets weight when it separates the images."""
    low, high = images(60, 60, [0.0, 2.0])
    assert fit_weights(low, high, np.array([1.0, 0.0]))[1] > 0.5


def test_the_fitted_auroc_is_that_of_unseen_images() -> None:
    """On noise the fitted AUROC stays near one half, and on a clear defect each AUROC equals scikit-learn's."""
    low, high = images(40, 40, [0.0] * 8, seed=3)
    _, noise = choose_weights({str(i): 1 for i in range(8)}, low, high[:20], high[20:])
    assert noise is not None and noise.fitted_auroc is not None and 0.3 < noise.fitted_auroc < 0.65
    assert (noise.normals, noise.abnormals, noise.synthetic) == (40, 20, 20)
    low, high = images(40, 30, [1.0, 0.0], seed=4)
    _, clear = choose_weights({"a": 1, "b": 1}, low, high, high[:0])
    truth = np.repeat([0, 1], [40, 30])
    assert clear is not None and clear.fitted_auroc is not None and clear.fitted_auroc > 0.7
    assert clear.component_auroc["a"] == pytest.approx(roc_auc_score(truth, np.concatenate([low[:, 0], high[:, 0]])))
    both = np.concatenate([low, high]).mean(axis=1)
    assert clear.given_auroc == pytest.approx(roc_auc_score(truth, both))


@given(st.lists(st.integers(0, 4), min_size=1), st.lists(st.integers(0, 4), min_size=1))
def test_auroc_counts_ties_half(normal: list[int], abnormal: list[int]) -> None:
    """With ties, AUROC equals scikit-learn's."""
    truth = [0] * len(normal) + [1] * len(abnormal)
    expected = roc_auc_score(truth, normal + abnormal)
    assert auroc(np.array(normal, float), np.array(abnormal, float)) == pytest.approx(expected)
