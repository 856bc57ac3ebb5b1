"""Weights follow what each component tells of abnormal images, whatever else there is beside it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from latentline.scoring.calibration import Validation
from latentline.scoring.weights import FEWEST_ABNORMAL, SMALLEST_SHARE, auroc, choose_weights, separation
from latentline.scoring.wins import wins

Shifts = dict[str, float]
SHIFTS = {"d_frame": 1.5, "d_patch": 1.0, "residual_1px": 0.5, "residual_2px": 0.0, "trunk_distance": 2.0}


def images(count: int, shifts: Shifts, seed: int = 0) -> np.ndarray:
    """Standardised components, independent, of `count` images, each `shifts` higher than those of normal ones."""
    return np.random.default_rng(seed).normal(size=(count, len(shifts))) + list(shifts.values())


def weigh(shifts: Shifts, normal: int = 60, abnormal: int = 60, seed: int = 0) -> dict[str, float]:
    """The weights from so many normal and abnormal images."""
    low, high = images(normal, dict.fromkeys(shifts, 0.0), seed), images(abnormal, shifts, seed + 1000)
    return choose_weights(dict.fromkeys(shifts, 1.0), low, high, high[:0])[0]


def new_auroc(weights: dict[str, float], shifts: Shifts) -> float:
    """Image AUROC of the score on many images that had no part in its weights."""
    w = np.array([weights.get(name, 0.0) for name in shifts])
    low, high = images(3000, dict.fromkeys(shifts, 0.0), 7777), images(3000, shifts, 8888)
    return float(roc_auc_score(np.repeat([0, 1], 3000), np.concatenate([low @ w, high @ w])))


@given(st.integers(0, 100), st.integers(0, 60))
@settings(max_examples=30)
def test_weights_are_shares(seed: int, abnormal: int) -> None:
    """Weights sum to 1, each is 0 or at least SMALLEST_SHARE, and the same images give the same weights."""
    weights = weigh(SHIFTS, 20, abnormal, seed)
    assert sum(weights.values()) == pytest.approx(1)
    assert min(weights.values()) >= SMALLEST_SHARE * 0.999
    assert weights == weigh(SHIFTS, 20, abnormal, seed)


@given(st.integers(0, 100))
@settings(max_examples=20)
def test_a_perfect_component_among_nine_useless_ones_keeps_the_score_perfect(seed: int) -> None:
    """The score of new images is as good as the perfect component alone, to 0.005, also with only 20 images a side."""
    shifts = {"d_frame": 6.0} | {f"noise{i}_a": 0.0 for i in range(9)}
    assert new_auroc(weigh(shifts, 20, 20, seed), shifts) > 0.995


@pytest.mark.parametrize("seed", range(8))
def test_noise_beside_good_components_costs_nothing_that_counts(seed: int) -> None:
    """A component of pure noise, of a family of its own, lowers the AUROC of new images by less than 0.005."""
    rng = np.random.default_rng(seed)
    low, high = images(60, dict.fromkeys(SHIFTS, 0.0), seed), images(60, SHIFTS, seed + 1000)
    alone, _ = choose_weights(dict.fromkeys(SHIFTS, 1.0), low, high, high[:0])
    low, high = (np.column_stack([side, rng.normal(size=60)]) for side in (low, high))
    beside, _ = choose_weights(dict.fromkeys(SHIFTS, 1.0) | {"other_a": 1.0}, low, high, high[:0])
    shifts = SHIFTS | {"other_a": 0.0}
    assert new_auroc(beside, shifts) > new_auroc(alone, shifts) - 0.005


@pytest.mark.parametrize("seed", range(5))
def test_the_score_is_no_worse_than_its_best_component(seed: int) -> None:
    """On new images, up to 0.005; and where several tell something, it is better."""
    best = max(new_auroc({name: 1.0}, SHIFTS) for name in SHIFTS)
    assert new_auroc(weigh(SHIFTS, seed=seed), SHIFTS) > best
    for lone in ("d_frame", "residual_1px", "trunk_distance"):
        shifts = dict.fromkeys(SHIFTS, 0.0) | {lone: 2.0}
        assert new_auroc(weigh(shifts, seed=seed), shifts) > new_auroc({lone: 1.0}, shifts) - 0.005


@given(st.permutations(list(SHIFTS)))
@settings(max_examples=15)
def test_the_order_of_components_changes_nothing(order: list[str]) -> None:
    """Each keeps its weight."""
    low, high = images(20, dict.fromkeys(SHIFTS, 0.0)), images(20, SHIFTS, 1)
    columns = [list(SHIFTS).index(name) for name in order]
    found, why = choose_weights(dict.fromkeys(SHIFTS, 1.0), low, high[:12], high[12:])
    again, reason = choose_weights(dict.fromkeys(order, 1.0), low[:, columns], high[:12, columns], high[12:, columns])
    assert again == pytest.approx(found) and why is not None and reason is not None
    assert reason.fitted_auroc == pytest.approx(why.fitted_auroc)


def test_copies_of_a_component_share_its_weight() -> None:
    """A family of five maps that tell the same weighs as much against another component as one such map."""
    low, high = images(60, {"d_frame": 0.0, "l2_1px": 0.0}), images(60, {"d_frame": 1.0, "l2_1px": 1.0}, 1)
    alone, _ = choose_weights({"d_frame": 1, "l2_1px": 1}, low, high, high[:0])
    many = {"d_frame": 1.0, **{f"l2_{i}px": 1.0 for i in range(5)}}
    low, high = low[:, [0, 1, 1, 1, 1, 1]], high[:, [0, 1, 1, 1, 1, 1]]
    copied, _ = choose_weights(many, low, high, high[:0])
    assert copied["d_frame"] == pytest.approx(alone["d_frame"])


@given(st.integers(0, 100), st.integers(1, 4))
@settings(max_examples=15)
def test_images_of_one_part_count_as_one(seed: int, exposures: int) -> None:
    """Repeating every image under the name of its part does not change the weights."""
    shifts = {"a": 1.0, "b": 0.3, "c": -0.5}
    low, high = images(12, dict.fromkeys(shifts, 0.0), seed), images(9, shifts, seed + 1)
    alone, _ = choose_weights(dict.fromkeys(shifts, 1.0), low, high, high[:0])
    names = tuple([str(i) for i in range(len(side)) for _ in range(exposures)] for side in (low, high))
    again, why = choose_weights(
        dict.fromkeys(shifts, 1.0),
        low.repeat(exposures, axis=0),
        high.repeat(exposures, axis=0),
        high[:0],
        (names[0], names[1]),
    )
    assert again == pytest.approx(alone) and why is not None


def test_many_images_of_few_parts_tell_nothing() -> None:
    """Forty images of four parts count as four, which are too few: the given weights stay."""
    low, high = images(40, {"a": 0.0, "b": 0.0}), images(40, {"a": 2.0, "b": 0.0}, 1)
    parts = [str(i % 4) for i in range(40)]
    weights, why = choose_weights({"a": 1, "b": 1}, low, high, high[:0], (None, parts))
    assert weights == {"a": 0.5, "b": 0.5} and why is not None and why.fitted_auroc is None
    mixed, why = choose_weights({"a": 1, "b": 1}, low, high[:20], high[20:], (None, parts[:20]))
    assert mixed["a"] > 0.9 and why is not None and (why.abnormals, why.synthetic) == (20, 20)


def test_too_few_images_leave_the_given_weights() -> None:
    """With fewer than five abnormal images the given weights stay, and no AUROC of found weights is reported."""
    low, high = images(20, {"a": 0.0, "b": 0.0}), images(FEWEST_ABNORMAL - 1, {"a": 5.0, "b": 0.0}, 1)
    normal, real, synthetic = (np.pad(side, [(0, 0), (0, 1)]) for side in (low, high, high[:0]))
    weights, why = choose_weights({"a": 1, "b": 3, "coarse": 0}, normal, real, synthetic)
    assert weights == {"a": 0.25, "b": 0.75}
    assert why is not None and why.fitted_auroc is None and why.abnormals == 4 and why.dropped == ("coarse",)
    assert choose_weights({"a": 1, "b": 1}, low, high[:0], high[:0]) == ({"a": 0.5, "b": 0.5}, None)


def test_components_that_point_the_wrong_way_leave_the_given_weights() -> None:
    """Where every component is lower on abnormal images, nothing is known, and the given weights stay."""
    low, high = images(40, {"a": 0.0, "b": 0.0}), images(40, {"a": -2.0, "b": -1.0}, 1)
    weights, why = choose_weights({"a": 1, "b": 1}, low, high, high[:0])
    assert weights == {"a": 0.5, "b": 0.5} and why is not None and why.fitted_auroc is None


def test_a_component_without_a_given_weight_can_earn_one() -> None:
    """A component whose given weight is 0 gets weight when it separates the images."""
    low, high = images(60, {"a": 0.0, "b": 0.0}), images(60, {"a": 0.0, "b": 2.0}, 1)
    assert choose_weights({"a": 1, "b": 0}, low, high, high[:0])[0]["b"] > 0.8


def test_real_defects_tell_as_much_as_made_ones_however_few() -> None:
    """Six real defects of one kind weigh as much as sixty made ones that another component finds."""
    low = images(60, {"a": 0.0, "b": 0.0})
    real, made = images(6, {"a": 4.0, "b": 0.0}, 1), images(60, {"a": 0.0, "b": 4.0}, 2)
    weights, _ = choose_weights({"a": 1, "b": 1}, low, real, made)
    assert 0.3 < weights["a"] < 0.7


def test_the_fitted_auroc_is_that_of_unseen_images() -> None:
    """On noise it stays near one half or is unknown, and on a clear defect each AUROC equals scikit-learn's."""
    names = [f"n{i}" for i in range(8)]
    low, high = images(40, dict.fromkeys(names, 0.0), 3), images(40, dict.fromkeys(names, 0.0), 4)
    noise = choose_weights(dict.fromkeys(names, 1.0), low, high[:20], high[20:])[1]
    assert noise is not None and (noise.normals, noise.abnormals, noise.synthetic) == (40, 20, 20)
    assert noise.fitted_auroc is None or 0.3 < noise.fitted_auroc < 0.65
    low, high = images(40, {"a": 0.0, "b": 0.0}, 5), images(30, {"a": 1.0, "b": 0.0}, 6)
    clear: Validation | None = choose_weights({"a": 1, "b": 1}, low, high, high[:0], (["one"] * 40, None))[1]
    truth = np.repeat([0, 1], [40, 30])
    assert clear is not None and clear.fitted_auroc is not None and clear.fitted_auroc > 0.7
    assert clear.component_auroc["a"] == pytest.approx(roc_auc_score(truth, np.concatenate([low[:, 0], high[:, 0]])))
    both = np.concatenate([low, high]).mean(axis=1)
    assert clear.given_auroc == pytest.approx(roc_auc_score(truth, both))


def test_separation_is_the_distance_of_two_normal_distributions() -> None:
    """With many images it is the shift in standard deviations; with few it is less, and chance is 0."""
    rng = np.random.default_rng(0)
    low, high, ones = rng.normal(size=(2000, 1)), rng.normal(size=(2000, 1)) + 1.5, np.ones(2000)
    won, lost = (wins(*sides, ones)[:, 0] for sides in ((low, high), (high, low)))
    assert separation(won, ones, 2000) == pytest.approx(1.5, abs=0.1)
    assert separation(won[:9], ones[:9], 9) < separation(won[:9], ones[:9], 9, 0.0)
    assert separation(lost, ones, 2000) == 0


@pytest.mark.parametrize("count", [8, 24])
def test_what_the_frames_under_made_defects_are_like_tells_nothing(count: int) -> None:
    """A component that is high on the frames that got a defect, and does not notice the defect, gets no weight."""
    low = np.column_stack([images(24, {"a": 0.0})[:, 0], np.linspace(3, -3, 24)])
    made = low[:count] + np.array([0.7, 0.0])
    weights, why = choose_weights({"a": 1, "b": 1}, low, low[:0], made)
    assert weights == {"a": 1.0} and why is not None and why.dropped == ("b",)


def test_it_does_not_matter_which_frames_got_the_made_defects() -> None:
    """The same defects on the first ten frames and on the last ten give the same weights."""
    low, changes = images(20, SHIFTS), np.abs(images(10, SHIFTS, 1))
    given = dict.fromkeys(SHIFTS, 1.0)
    first, _ = choose_weights(given, low, low[:0], low[:10] + changes)
    last, _ = choose_weights(given, low[::-1], low[:0], low[::-1][:10] + changes)
    assert first == pytest.approx(last)


@given(st.lists(st.integers(0, 4), min_size=1), st.lists(st.integers(0, 4), min_size=1))
def test_auroc_counts_ties_half(normal: list[int], abnormal: list[int]) -> None:
    """With ties, AUROC equals scikit-learn's."""
    truth = [0] * len(normal) + [1] * len(abnormal)
    expected = roc_auc_score(truth, normal + abnormal)
    assert auroc(np.array(normal, float), np.array(abnormal, float)) == pytest.approx(expected)
