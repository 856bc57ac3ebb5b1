"""The Gaussian of normal features is the one that held-out patches ask for, and its distance is Mahalanobis'."""

import numpy as np
import pytest

from latentline.errors import DatasetError
from latentline.trunk.gaussian import fit_gaussian
from latentline.trunk.statistics import DISTANCE, TrunkStatistics, from_cells, smooth, to_cells


def features(count: int, aligned: float, wide: float, seed: int = 0) -> np.ndarray:
    """[count, 3, 4, 4]: means of the positions differ by `aligned`, one corner's spread is `wide` times the others'."""
    rng = np.random.default_rng(seed)
    mixing = np.array([[1.0, 0.6, 0.0], [0.0, 0.8, 0.5], [0.0, 0.0, 0.4]])
    noise = np.einsum("cd,ndhw->nchw", mixing, rng.normal(0, 1, (count, 3, 4, 4)))
    noise[:, :, :2, :2] *= wide
    means = aligned * np.random.default_rng(99).normal(0, 1, (3, 4, 4))
    return np.asarray(noise + means, np.float32)


PARTS = [str(i // 2) for i in range(200)]


@pytest.mark.parametrize(
    ("aligned", "wide", "kind"), [(0.0, 1.0, "shared"), (3.0, 1.0, "positions"), (3.0, 5.0, "cells")]
)
def test_held_out_patches_choose_the_kind(aligned: float, wide: float, kind: str) -> None:
    """Positions alike: one Gaussian. Other means: a mean for each. Other spreads, too: a covariance for each cell."""
    choice = fit_gaussian(features(200, aligned, wide), PARTS, seed=0).choice
    best = choice.trials[0]
    others = [trial.likelihood for trial in choice.trials if trial.kind != kind]
    chosen = next(trial for trial in choice.trials if trial.kind == kind)
    assert best.kind == kind or best.likelihood - chosen.likelihood < 1e-2
    assert {trial.kind for trial in choice.trials} == {"cells", "positions", "shared"} and kind in choice.sentence
    assert max(others) <= best.likelihood and choice.fitted + choice.judged == 200


def test_distance_is_that_of_the_covariance() -> None:
    """The map, before it is smoothed, is √((x − μ)ᵀ Σ⁻¹ (x − μ) / C) with moments computed by NumPy."""
    normal = features(200, 3.0, 5.0)
    found = fit_gaussian(normal, PARTS, seed=0)
    trial = found.choice.trials[0]
    assert trial.kind == "cells"
    image = features(1, 3.0, 5.0, seed=7)[0]
    centred = normal - normal.mean(0)
    pooled = np.cov(centred.transpose(1, 0, 2, 3).reshape(3, -1), bias=True)
    expected = np.zeros((4, 4))
    for y in range(4):
        for x in range(4):
            own = centred[:, :, y // 2 * 2 : y // 2 * 2 + 2, x // 2 * 2 : x // 2 * 2 + 2]
            cell = np.cov(own.transpose(1, 0, 2, 3).reshape(3, -1), bias=True)
            covariance = (1 - trial.pooled) * cell + trial.pooled * pooled
            covariance += trial.ridge * np.diagonal(pooled).mean() * np.eye(3)
            away = image[:, y, x] - normal[:, :, y, x].mean(0)
            expected[y, x] = np.sqrt(away @ np.linalg.inv(covariance) @ away / 3)
    distance = found.statistics.maps(image)[DISTANCE]
    assert np.allclose(distance, smooth(expected.astype(np.float32)), rtol=1e-3)


def test_images_that_choose_were_not_fitted_to() -> None:
    """The Gaussian that judges does not move with the held-out images, and no part is on both sides."""
    normal = features(200, 3.0, 1.0)
    found = fit_gaussian(normal, PARTS, seed=0)
    sides = [{PARTS[i] for i in np.flatnonzero(side)} for side in (found.judged, ~found.judged)]
    assert not sides[0] & sides[1] and len(sides[0]) == 20
    moved = normal.copy()
    moved[found.judged] += 0.01
    again = fit_gaussian(moved, PARTS, seed=0)
    assert np.array_equal(again.judging.mean, found.judging.mean)
    assert not np.array_equal(again.statistics.mean, found.statistics.mean)


@pytest.mark.parametrize("parts", [[str(i) for i in range(9)], ["one"] * 30])
def test_too_few_normals_are_one_sentence(parts: list[str]) -> None:
    """Fewer than ten images, or images of one part alone, cannot be judged: what to do is said."""
    with pytest.raises(DatasetError, match=r"at least 10 normal training images of two parts.*trunk\.network to none"):
        fit_gaussian(features(len(parts), 1.0, 1.0), parts, seed=0)


def test_a_constant_feature_does_no_harm() -> None:
    """A channel that never changes, or all of them, gives finite distances."""
    for constant in (slice(0, 1), slice(None)):
        normal = features(40, 1.0, 1.0)
        normal[:, constant] = 2.0
        found = fit_gaussian(normal, [str(i) for i in range(40)], seed=0)
        assert np.isfinite(found.statistics.maps(normal[0])[DISTANCE]).all()


def test_cells_are_squares_of_two_positions() -> None:
    """`from_cells` undoes `to_cells`, and a cell holds its own four positions."""
    image = np.arange(3 * 4 * 6, dtype=np.float32).reshape(3, 4, 6)
    cells = to_cells(image)
    assert cells.shape == (6, 3, 4) and np.array_equal(from_cells(cells, 4, 6), image)
    assert sorted(cells[1, 0].tolist()) == sorted(image[0, :2, 2:4].ravel().tolist())


def test_without_a_direction_there_is_no_verdict() -> None:
    """The names are those of the maps."""
    statistics = TrunkStatistics(np.zeros((3, 1, 1), np.float32), np.eye(3, dtype=np.float32)[None])
    assert statistics.names == tuple(statistics.maps(features(1, 0, 1)[0])) == (DISTANCE,)
