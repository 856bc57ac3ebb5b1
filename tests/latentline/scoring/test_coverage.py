"""Coverage is the share of variance that its definition says, and principal components are the exact ones."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.decomposition import PCA

from latentline.scoring.coverage import Coverage, PrincipalComponents, explained_share

SHAPE = (1, 8, 8)


def _tiles(count: int, seed: int, rank: int = 64) -> np.ndarray:
    """Tiles whose variance falls from one direction to the next, around a mean that is not 0."""
    rng = np.random.default_rng(seed)
    directions = np.linalg.qr(np.random.default_rng(99).normal(size=(64, 64)))[0][:rank]
    weights = rng.normal(size=(count, rank)) * 0.5 * 0.93 ** np.arange(rank)
    tiles: np.ndarray = (0.2 + weights @ directions).reshape(count, *SHAPE).astype(np.float32)
    return tiles


@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.floats(0, 3))
def test_coverage_is_the_definition_in_float64(seed: int, count: int, noise: float) -> None:
    """1 − Σ‖x − x̂‖² / Σ‖x − mean‖² over all tiles together, with the mean that is given."""
    rng = np.random.default_rng(seed)
    x, mean = rng.normal(size=(count, *SHAPE)).astype(np.float32), rng.normal(size=64).astype(np.float32)
    made = (x + noise * rng.normal(size=x.shape)).astype(np.float32)
    flat, other = (a.reshape(count, -1).astype(np.float64) for a in (x, made))
    expected = 1 - ((flat - other) ** 2).sum() / ((flat - mean.astype(np.float64)) ** 2).sum()
    assert explained_share(x, made, mean) == pytest.approx(expected, rel=1e-9)


def test_the_mean_explains_nothing_and_a_copy_everything() -> None:
    """x̂ = mean: 0; x̂ = x: 1; halfway: 3/4; as far beyond the mean as x is before it: −3."""
    x = _tiles(9, 0)
    mean = _tiles(50, 1).mean(axis=0)
    for weight, expected in ((0.0, 0.0), (1.0, 1.0), (0.5, 0.75), (-1.0, -3.0)):
        made = (mean + weight * (x - mean)).astype(np.float32)
        assert explained_share(x, made, mean.ravel()) == pytest.approx(expected, abs=1e-5)


def test_what_has_no_figure_gets_none() -> None:
    """Tiles that do not vary, and reconstructions that are not finite: no division by zero, no NaN in a report."""
    constant = np.full((5, *SHAPE), 0.25, np.float32)
    assert explained_share(constant, constant, constant[0].ravel()) is None
    x = _tiles(5, 0)
    for value in (np.nan, np.inf, np.float32(3e38)):
        made = x.copy()
        made[2, 0, 1, 1] = value
        share = explained_share(x, made, x.mean(axis=0).ravel())
        assert share is None or np.isfinite(share)


@pytest.mark.parametrize("count", [1, 5, 20, 60])
def test_principal_components_are_those_of_scikit_learn(count: int) -> None:
    """Coverage of other tiles by the randomized components equals that by an exact float64 decomposition."""
    training, x = _tiles(400, 2), _tiles(100, 3)
    found = PrincipalComponents.fit(training, count)
    exact = PCA(count, svd_solver="full").fit(training.reshape(400, -1).astype(np.float64))
    flat = x.reshape(100, -1).astype(np.float64)
    left = ((flat - exact.inverse_transform(exact.transform(flat))) ** 2).sum()
    expected = 1 - left / ((flat - exact.mean_) ** 2).sum()
    assert found.directions.shape == (64, count)
    assert np.allclose(found.directions.T @ found.directions, np.eye(count), atol=1e-5)
    assert explained_share(x, found.reconstruct(x), found.mean) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize(
    ("tiles", "components"),
    [(_tiles(7, 4), 6), (_tiles(300, 4, rank=3), 3), (np.repeat(_tiles(1, 4), 9, axis=0), 0), (_tiles(1, 4), 0)],
    ids=["seven tiles", "three directions", "equal tiles", "one tile"],
)
def test_there_are_no_more_components_than_the_tiles_have(tiles: np.ndarray, components: int) -> None:
    """Few tiles, few directions, equal tiles: the components that exist reproduce the tiles they come from."""
    found = PrincipalComponents.fit(tiles, 20)
    assert found.directions.shape == (64, components)
    assert np.allclose(found.reconstruct(tiles), tiles, atol=1e-4)


def test_the_same_seed_gives_the_same_components() -> None:
    """To the bit: a resumed run must repeat its figures."""
    first, second = (PrincipalComponents.fit(_tiles(200, 5), 10, seed=7) for _ in range(2))
    assert np.array_equal(first.directions, second.directions)


def test_the_sentence_names_both() -> None:
    """Whoever reads the share of G reads that of principal components with it."""
    coverage = Coverage(explained=0.414, pca=0.94, tiles=1000, components=128)
    assert coverage.sentence == (
        "explains 0.41 of the variance of held-out normal tiles; 128 principal components explain 0.94"
    )
