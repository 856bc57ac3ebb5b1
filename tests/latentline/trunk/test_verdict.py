"""The verdict points from normal patches to those of known defects, parts alike, and only where there are enough."""

from dataclasses import replace

import numpy as np
import pytest

from latentline.scoring.frame_maps import largest
from latentline.trunk.gaussian import FittedGaussian, fit_gaussian
from latentline.trunk.statistics import VERDICT
from latentline.trunk.verdict import KnownDefect, _direction, _Whitened, fit_verdict, verdict_obstacle

CHANNELS, GRID = 6, 8
TRUE = np.array([1.0, 0, 0, 1.0, 0, 0], np.float32)


def normals(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1, (count, CHANNELS, GRID, GRID)).astype(np.float32)


def known(parts: list[str], masks: bool = True, strength: float = 3.0, seed: int = 5) -> list[KnownDefect]:
    """One abnormal position a known image, shifted along TRUE, of the parts given."""
    found, rng = [], np.random.default_rng(seed)
    for part, image in zip(parts, normals(len(parts), seed), strict=True):
        y, x = rng.integers(0, GRID, 2)
        share = np.zeros((GRID, GRID), np.float32)
        share[y, x] = 0.1
        image[:, y, x] += strength * TRUE
        if not masks:
            image += 0.3 * TRUE[:, None, None]
        found.append(KnownDefect(image, share if masks else None, part))
    return found


@pytest.fixture(scope="module")
def fitted() -> tuple[FittedGaussian, list[np.ndarray]]:
    features = normals(60, 0)
    found = fit_gaussian(features, [str(i) for i in range(60)], 0)
    return found, list(features[found.judged])


def test_verdict_finds_a_new_defect_of_the_same_kind(fitted: tuple[FittedGaussian, list[np.ndarray]]) -> None:
    """Masks say which patches count; the map peaks at a defect of a part that it has not seen."""
    gaussian, judges = fitted
    shown = known([str(i) for i in range(12)], strength=6.0)
    statistics, fit = fit_verdict(shown, gaussian.judging, judges, gaussian.statistics)
    assert (fit.images, fit.parts, fit.masks) == (12, 12, True) and fit.auroc > 0.9
    (new,) = known(["new"], strength=6.0, seed=11)
    assert new.share is not None
    peak = np.unravel_index(statistics.maps(new.features)[VERDICT].argmax(), (GRID, GRID))
    assert peak == np.unravel_index(new.share.argmax(), (GRID, GRID))
    low = [largest(statistics.maps(image)[VERDICT]) for image in normals(20, 3)]
    assert largest(statistics.maps(new.features)[VERDICT]) > max(low)


def test_without_masks_it_judges_whole_images(fitted: tuple[FittedGaussian, list[np.ndarray]]) -> None:
    """Then its map is one number, and a mask too few changes nothing."""
    gaussian, judges = fitted
    some = known([str(i) for i in range(8)], masks=False) + known(["a", "b"])
    statistics, fit = fit_verdict(some, gaussian.judging, judges, gaussian.statistics)
    assert not fit.masks and fit.images == 10 and not statistics.located
    assert statistics.maps(some[0].features)[VERDICT].shape == (1, 1) and fit.auroc > 0.9


def test_each_part_counts_once() -> None:
    """Many copies of one part's image change nothing."""
    once = known([str(i) for i in range(6)])
    often = once + [once[0]] * 20
    assert _direction([_Whitened(k.features, k.features.mean((1, 2)), k.part) for k in often], 10.0) == pytest.approx(
        _direction([_Whitened(k.features, k.features.mean((1, 2)), k.part) for k in once], 10.0), abs=1e-5
    )


@pytest.mark.parametrize("ridge", [1.0, 10.0])
def test_direction_solves_the_regularised_system(ridge: float) -> None:
    """(S + ridge) w is parallel to the mean of the parts, as a direct solution gives it."""
    rng = np.random.default_rng(2)
    means = rng.normal(1, 2, (7, CHANNELS))
    some = [_Whitened(np.zeros((CHANNELS, 2, 2), np.float32), mean, str(i)) for i, mean in enumerate(means)]
    covariance = np.cov(means.T, bias=True)
    expected = np.linalg.solve(covariance + ridge * np.eye(CHANNELS), means.mean(0))
    assert _direction(some, ridge) == pytest.approx(expected / np.linalg.norm(expected), abs=1e-5)


@pytest.mark.parametrize(
    ("parts", "allowed"), [([], False), (["a"], False), (["a"] * 30, False), (list("abcde"), True)]
)
def test_a_verdict_needs_parts(parts: list[str], allowed: bool) -> None:
    """One known defect, or many of one part, have nothing in common that could be told from chance: that is said."""
    reason = verdict_obstacle(known(parts) if parts else [])
    assert (reason is None) == allowed
    assert allowed or (reason is not None and f"and has {len(parts)} of {len(set(parts))}" in reason)


def test_tiny_defects_count_too(fitted: tuple[FittedGaussian, list[np.ndarray]]) -> None:
    """A mask that covers a small share of every position still marks its fullest one."""
    gaussian, judges = fitted
    small = [replace(k, share=k.share * 0.01) for k in known([str(i) for i in range(6)]) if k.share is not None]
    statistics, _ = fit_verdict(small, gaussian.judging, judges, gaussian.statistics)
    assert statistics.direction is not None and statistics.direction @ TRUE > 1.0
