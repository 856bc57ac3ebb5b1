"""The weights of the score come from abnormal frames that were not trained on, synthetic ones where few are real."""

import logging

import numpy as np
import pytest

from latentline.errors import DatasetError
from latentline.search.searcher import SearchResult
from latentline.search.tiler import FrameTiler
from latentline.vision.preprocessing import Preprocessing
from trainer.config import TrainConfig
from trainer.data.held_out import HeldOut
from trainer.data.synthetic import synthesise
from trainer.data.unseen import synthesise_unseen
from trainer.evaluation.calibrate_held_out import SYNTHETIC, calibrate_held_out, shown_defects
from trainer.evaluation.made_defects import MIN_REAL_ABNORMAL, Synthesis, make_synthetic_abnormal


class FlatSearcher:
    """Every tile is reconstructed by its own mean."""

    name = "flat"

    def search(self, tiles: np.ndarray) -> SearchResult:
        x = tiles.astype(np.float32).transpose(0, 3, 1, 2) / 127.5 - 1
        flat = np.broadcast_to(x.mean(axis=(2, 3), keepdims=True), x.shape)
        return SearchResult(
            z=np.zeros((len(x), 2), np.float32),
            reconstruction=np.ascontiguousarray(flat),
            loss=np.abs(x).sum((1, 2, 3)),
        )

    def close(self) -> None:
        """Nothing to release."""


class NeverAsked(FlatSearcher):
    """A searcher that must not be asked."""

    def search(self, tiles: np.ndarray) -> SearchResult:
        raise AssertionError(f"{len(tiles)} tiles were searched")


def _frames(count: int, shape: tuple[int, ...] = (40, 50), seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [np.clip(rng.normal(128, 6, shape), 0, 255).astype(np.uint8) for _ in range(count)]


def _config(**sections: object) -> TrainConfig:
    content = {"data": {"root": "images", "known_abnormal_fraction": 0.1}, "search": {"map": "residual"}, **sections}
    return TrainConfig.model_validate(content)


@pytest.mark.parametrize("shape", [(40, 50), (32, 32), (20, 90), (64, 48, 3), (64, 48, 1)])
@pytest.mark.parametrize("height", [None, 64])
@pytest.mark.parametrize("make", [synthesise, synthesise_unseen])
def test_synthetic_frames_differ_in_one_square_of_about_a_tile(
    shape: tuple[int, ...], height: int | None, make: Synthesis
) -> None:
    """Elsewhere they are the normal frame, as the mask says; the same seed gives the same, and no original changes."""
    tiler = FrameTiler(Preprocessing(height=height, channels=1), 32, 0.25)
    normal = _frames(6, shape)
    before = [frame.copy() for frame in normal]
    synthetic_frames = make_synthetic_abnormal(normal, tiler, 1, make)
    side = 32 * (1 if height is None else shape[0] / height)
    for frame, (damaged, mask) in zip(normal, synthetic_frames, strict=True):
        assert damaged.shape == frame.shape and damaged.dtype == np.uint8
        changed = (damaged != frame).reshape(*shape[:2], -1).any(axis=2)
        assert mask.shape == changed.shape and not (changed & ~mask).any()
        ys, xs = np.nonzero(changed)
        assert len(ys) and np.ptp(ys) < side + 1 and np.ptp(xs) < side + 1
    assert all((a == b).all() for a, b in zip(normal, before, strict=True))
    again = make_synthetic_abnormal(normal, tiler, 1, make)
    assert all((a[0] == b[0]).all() for a, b in zip(synthetic_frames, again, strict=True))


@pytest.mark.parametrize(
    ("standardising", "scored", "sentence"),
    [(7, 40, "at least 8 normal images to standardise the score, and has 7"), (8, 18, "at least 19 .* 18 are left")],
)
def test_too_few_frames_are_said_before_any_is_searched(standardising: int, scored: int, sentence: str) -> None:
    """A search of hundreds of frames takes minutes, and would end with the same sentence."""
    held_out = HeldOut(_frames(standardising), _frames(scored, seed=1), [])
    tiler = FrameTiler(Preprocessing(channels=1), 32, 0.25)
    with pytest.raises(DatasetError, match=sentence):
        calibrate_held_out(NeverAsked(), tiler, _config(), held_out, 0.05)


@pytest.mark.parametrize(
    ("kind", "share", "count"), [("noisy_anogan", 0.5, SYNTHETIC), ("noisy_anogan", 0, 0), ("pca", None, 0)]
)
def test_the_kinds_of_a_training_are_made_where_it_was_shown_them(kind: str, share: float | None, count: int) -> None:
    """A discriminator that learnt from made defects is tried on them too; other methods spare the time."""
    method = {"kind": kind} | ({} if share is None else {"synthetic_fraction": share})
    held_out = HeldOut(_frames(12), _frames(20, seed=1), [])
    tiler = FrameTiler(Preprocessing(channels=1), 32, 0.25)
    assert len(shown_defects(_config(method=method), held_out, tiler)) == count
    many = HeldOut(_frames(12), _frames(20, seed=1), _frames(MIN_REAL_ABNORMAL, seed=2))
    assert shown_defects(_config(method=method), many, tiler) == []


def test_held_out_images_of_one_part_leave_none_for_the_threshold() -> None:
    """The sentence says so, before any frame is searched, instead of asking for a rate of 1."""
    held_out = HeldOut(_frames(30), [], [], (["one"] * 30, []))
    tiler = FrameTiler(Preprocessing(channels=1), 32, 0.25)
    with pytest.raises(DatasetError, match=r"show 1 part: .* hold out images of more parts"):
        calibrate_held_out(NeverAsked(), tiler, _config(), held_out, 0.05)


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        (["a"], "1 known-abnormal image of 1 part alone would be no basis for weights"),
        (["a"] * 12, "12 known-abnormal images of 1 part alone would be no basis"),
        (list("abcdef"), "6 known-abnormal images of 6 parts and 40 made defects count the same"),
    ],
)
def test_few_known_defects_are_said(parts: list[str], sentence: str, caplog: pytest.LogCaptureFixture) -> None:
    """One sentence on how many images and parts there are, and what joins them."""
    held_out = HeldOut(_frames(12, seed=1), _frames(20, seed=2), _frames(len(parts), seed=5), (None, parts))
    with caplog.at_level(logging.INFO):
        calibrate_held_out(FlatSearcher(), FrameTiler(Preprocessing(), 32, 0.25), _config(), held_out, 0.05)
    assert sentence in caplog.text


@pytest.mark.parametrize(
    ("real", "parts", "synthetic"),
    [
        (0, 1, SYNTHETIC),
        (MIN_REAL_ABNORMAL - 1, MIN_REAL_ABNORMAL - 1, SYNTHETIC),
        (MIN_REAL_ABNORMAL, MIN_REAL_ABNORMAL, 0),
        (MIN_REAL_ABNORMAL, 1, SYNTHETIC),
    ],
)
def test_synthetic_frames_are_added_only_where_real_ones_are_few(real: int, parts: int, synthetic: int) -> None:
    """Or where these show few parts, also after a training on synthetic ones; the calibration says how many it saw."""
    tiler = FrameTiler(Preprocessing(), 32, 0.25)
    abnormal = [np.where(np.arange(50) < 9, 255, frame).astype(np.uint8) for frame in _frames(real, seed=5)]
    shown = (None, [str(i % parts) for i in range(real)])
    held_out = HeldOut(_frames(12, seed=1), _frames(20, seed=2), abnormal, shown)
    config = _config(method={"kind": "noisy_anogan", "synthetic_fraction": 0.5})
    found = calibrate_held_out(FlatSearcher(), tiler, config, held_out, 0.05).calibration
    assert found.validation is not None
    assert (found.validation.abnormals, found.validation.synthetic) == (real, synthetic)
    assert found.promise is not None and found.promise.new_parts


def test_the_parts_of_scored_frames_reach_the_promise() -> None:
    """Twenty frames of one part promise nothing about new parts."""
    tiler = FrameTiler(Preprocessing(), 32, 0.25)
    held_out = HeldOut(_frames(12, seed=1), _frames(20, seed=2), [], scored_parts=["one"] * 20)
    found = calibrate_held_out(FlatSearcher(), tiler, _config(), held_out, 0.05).calibration.promise
    assert found is not None and not found.new_parts and found.parts == 1


def test_the_papers_score_needs_no_abnormal_frames() -> None:
    """It has no weights: no frame is synthesised, and only normal frames are searched."""
    tiler = FrameTiler(Preprocessing(), 32, 0.25)
    held_out = HeldOut(_frames(12, seed=1), _frames(20, seed=2), [])
    found = calibrate_held_out(
        FlatSearcher(), tiler, _config(search={"map": "residual", "score": "paper"}), held_out, 0.05
    ).calibration
    assert found.validation is None and [c.name for c in found.components] == ["loss"]
