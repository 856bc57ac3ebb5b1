"""Pixel AUROC and AUPRO equal naive evaluations written from their definitions."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import label
from sklearn.metrics import roc_auc_score

from trainer.evaluation.pixel_metrics import FPR_LIMIT, PixelCounts

Images = list[tuple[np.ndarray, np.ndarray]]


def naive_aupro(images: Images, limit: float) -> float:
    """Per-region overlap at every threshold there is, integrated over the false-positive rate by the trapezoid rule."""
    regions = []
    for plane, mask in images:
        labels, count = label(mask, structure=np.ones((3, 3)))
        regions += [plane[labels == i] for i in range(1, count + 1)]
    normal = np.concatenate([plane[~mask] for plane, mask in images])
    points = [(0.0, 0.0)]
    for threshold in sorted({float(v) for plane, _ in images for v in plane.ravel()}, reverse=True):
        overlap = np.mean([(r >= threshold).mean() for r in regions])
        points.append((float((normal >= threshold).mean()), float(overlap)))
    area = 0.0
    for (x0, y0), (x1, y1) in pairwise(points):
        if x1 > limit:
            y1 = y0 + (y1 - y0) * (limit - x0) / (x1 - x0)
            x1 = limit
        area += (x1 - x0) * (y0 + y1) / 2
        if x1 == limit:
            break
    return area / limit


def counted(images: Images) -> PixelCounts:
    counts = PixelCounts()
    for plane, mask in images:
        counts.add(plane, mask)
    return counts


def draw_images(seed: int, levels: int, shift: float) -> Images:
    """Maps of a few integer levels (which bins tell apart exactly, signs and ties and all) with scattered regions."""
    rng = np.random.default_rng(seed)
    images = []
    for shape in ((9, 14), (17, 6), (8, 8)):
        mask = rng.random(shape) < rng.choice([0.0, 0.1, 0.3])
        images.append(((rng.integers(-3, levels, shape) + shift * mask).astype(np.float32), mask))
    images[0][1][2:5, 2:5] = True
    images[0][1][0, 0] = False
    return images


@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(0, 20))
@settings(max_examples=60)
def test_aupro_equals_its_definition(seed: int, levels: int, shift: int) -> None:
    """Regions of any size and shape, negative values, ties, images without regions."""
    images = draw_images(seed, levels, shift)
    assert counted(images).curves().aupro() == pytest.approx(naive_aupro(images, FPR_LIMIT))


@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(0, 20))
@settings(max_examples=60)
def test_pixel_auroc_equals_scikit_learns(seed: int, levels: int, shift: int) -> None:
    """Over several images of different sizes."""
    images = draw_images(seed, levels, shift)
    truth, values = (np.concatenate([image[i].ravel() for image in images]) for i in (1, 0))
    assert counted(images).curves().auroc() == pytest.approx(roc_auc_score(truth, values))


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e4])
def test_values_of_any_range_are_told_apart(scale: float) -> None:
    """Continuous maps, tiny or huge: both figures to 2e-3 of the exact ones."""
    rng = np.random.default_rng(0)
    images = []
    for shape in ((40, 50), (33, 21)):
        mask = np.zeros(shape, np.bool_)
        mask[5:12, 5:9] = mask[20:25, 3:18] = True
        images.append(((scale * (rng.gamma(2, 1, shape) + 1.5 * mask)).astype(np.float32), mask))
    truth, values = (np.concatenate([image[i].ravel() for image in images]) for i in (1, 0))
    curves = counted(images).curves()
    assert curves.auroc() == pytest.approx(roc_auc_score(truth, values), abs=2e-3)
    assert curves.aupro() == pytest.approx(naive_aupro(images, FPR_LIMIT), abs=2e-3)


def test_weights_mean_images_taken_so_many_times() -> None:
    """The weighted figures are the plain figures of as many copies of each image; `select` leaves the others out."""
    images = draw_images(5, 30, 4.0)
    weights = np.array([[2, 0, 1], [1, 3, 0], [1, 1, 1]])
    curves = counted(images).curves()
    for weight, auroc, aupro in zip(weights, curves.auroc(weights), curves.aupro(weights), strict=True):
        copies = counted([image for image, times in zip(images, weight, strict=True) for _ in range(times)]).curves()
        assert auroc == pytest.approx(copies.auroc()[0]) and aupro == pytest.approx(copies.aupro()[0])
    some = counted([images[2], images[0]]).curves()
    assert curves.select([2, 0]).aupro() == pytest.approx(some.aupro())
    assert curves.select([2, 0]).auroc() == pytest.approx(some.auroc())


def test_a_perfect_map_scores_one_and_an_upside_down_one_zero() -> None:
    """The ends of both scales."""
    mask = np.zeros((20, 20), np.bool_)
    mask[3:6, 3:6] = mask[10:18, 10:12] = True
    for plane, expected in ((mask, 1.0), (~mask, 0.0)):
        curves = counted([(plane.astype(np.float32), mask)]).curves()
        assert curves.auroc()[0] == pytest.approx(expected) and curves.aupro()[0] == pytest.approx(expected)


def test_counts_are_complete_only_with_both_classes() -> None:
    """Without an abnormal region or a normal pixel there is no figure; a map that is not finite is refused."""
    counts = PixelCounts()
    plane = np.ones((4, 4), np.float32)
    assert not counts.complete
    counts.add(plane, np.ones((4, 4), np.bool_))
    assert not counts.complete
    counts.add(plane, np.zeros((4, 4), np.bool_))
    assert counts.complete and len(counts) == 2
    plane[0, 0] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        counts.add(plane, np.zeros((4, 4), np.bool_))
