"""`search.iterations: auto` compares searches on held-out frames, and says what it does where it cannot."""

import logging
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from latentline.errors import CheckpointError
from latentline.scoring.search_choice import SearchCandidate
from latentline.search.searcher import SearchResult
from latentline.search.tiler import FrameTiler
from latentline.vision.preprocessing import Preprocessing
from trainer.config import TrainConfig
from trainer.data.held_out import HeldOut
from trainer.evaluation import choose_search
from trainer.evaluation.choose_search import chosen_search
from trainer.evaluation.validation_frames import MOST_FRAMES, normal_parts, validation_frames

TILER = FrameTiler(Preprocessing(), 32, 0.25)
BACKGROUND = np.tile(np.linspace(60, 180, 32, dtype=np.float32), (32, 1))


class GradualSearcher:
    """Finds the normal background the better, the more steps it takes; without any it finds plain noise."""

    name = "gradual"

    def __init__(self, steps_needed: int, iterations: int) -> None:
        self._share = min(1.0, iterations / steps_needed) if steps_needed else 1.0

    def search(self, tiles: np.ndarray) -> SearchResult:
        # noise from the tile's own grey levels: every tile gets its own, and the same again
        noise = [np.random.default_rng(int(tile.sum())).normal(0, 80, (32, 32)) for tile in tiles]
        found = [(BACKGROUND + (1 - self._share) * n) / 127.5 - 1 for n in noise]
        return SearchResult(
            z=np.zeros((len(tiles), 2), np.float32), reconstruction=np.array(found, np.float32)[:, None]
        )

    def close(self) -> None:
        """Nothing to release."""


def _normal(count: int, seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [np.clip(BACKGROUND + rng.normal(0, 4, (32, 32)), 0, 255).astype(np.uint8) for _ in range(count)]


def _held_out(count: int = 40) -> HeldOut:
    """The frames behind the threshold would raise an error if anybody searched them: they have another shape."""
    return HeldOut(_normal(count, 1), [np.zeros((1, 1, 7), np.uint8)] * 20, [])


def _config(encoder_images: int = 8, **sections: Any) -> TrainConfig:
    return TrainConfig.model_validate(
        {
            "data": {"root": "images", "known_abnormal_fraction": 0.1},
            "network": {"resolution": 32},
            "schedule": {"encoder_images": encoder_images},
            "search": {"map": "l2"},
            **sections,
        }
    )


@pytest.mark.parametrize(("steps_needed", "chosen"), [(0, 0), (10, 10)])
def test_the_search_is_as_long_as_it_pays(
    steps_needed: int, chosen: int, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An encoder that finds the background needs none; the log says in one line what was chosen and why."""
    monkeypatch.setattr(choose_search, "MAX_STEPS", 10_000)
    with caplog.at_level(logging.INFO):
        found = chosen_search(
            "auto", lambda c: GradualSearcher(steps_needed, c.iterations), TILER, _config(), _held_out()
        )
    assert found.iterations == chosen and found.choice is not None
    assert [trial.candidate.iterations for trial in found.choice.trials] == [0, 3, 10, 30]
    assert (found.choice.normals, found.choice.abnormals, found.choice.synthetic) == (40, 0, 60)
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith(f"search: n = {chosen}; ") and "ms a tile (40 normal and 60 synthetic" in line


def test_without_an_encoder_longer_searches_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A search from a random z needs steps: none is no candidate."""
    monkeypatch.setattr(choose_search, "MAX_STEPS", 10_000)
    found = chosen_search("auto", lambda c: GradualSearcher(30, c.iterations), TILER, _config(0), _held_out())
    assert found.choice is not None and found.iterations == 30
    assert [trial.candidate.iterations for trial in found.choice.trials] == [10, 30, 100]


def _never(candidate: SearchCandidate) -> GradualSearcher:
    raise AssertionError(f"{candidate} was opened")


def test_a_number_is_taken_as_it_is() -> None:
    """Nothing is measured, and there is no table."""
    found = chosen_search(500, _never, TILER, _config(search={"score": "paper"}), _held_out())
    assert (found.iterations, found.choice) == (500, None)


def test_a_method_without_a_search_has_none() -> None:
    """`auto` is 0 then, and nothing is measured."""
    config = _config(0, method={"kind": "autoencoder"})
    assert (config.search.iterations, config.unmeasured_iterations) == ("auto", 0)
    assert chosen_search("auto", _never, TILER, config, _held_out()).iterations == 0


@pytest.mark.parametrize(("encoder_images", "iterations"), [(8, 0), (0, 100)])
def test_too_few_held_out_images_are_said(
    encoder_images: int, iterations: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Nine parts, whatever the number of images: 0 with an encoder, 100 without, and a sentence that says so."""
    held_out = replace(_held_out(27), parts=([f"part {i // 3}" for i in range(27)], None))
    with caplog.at_level(logging.WARNING):
        found = chosen_search("auto", _never, TILER, _config(encoder_images), held_out)
    assert (found.iterations, found.choice) == (iterations, None)
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith(f"search: n = {iterations}, not measured: ") and "has 9; hold out more" in line


def test_a_broken_model_ends_in_one_sentence() -> None:
    """Reconstructions that are not numbers are not compared."""

    class Broken(GradualSearcher):
        def search(self, tiles: np.ndarray) -> SearchResult:
            found = super().search(tiles)
            return replace(found, reconstruction=found.reconstruction * np.nan)

    with pytest.raises(CheckpointError, match="not finite"):
        chosen_search("auto", lambda c: Broken(0, c.iterations), TILER, _config(), _held_out())


def _damaged(count: int, side: int = 32) -> tuple[list[np.ndarray], list[np.ndarray | None]]:
    """Dark frames [side, side] with one bright square of 6 px each, and their masks."""
    rng, frames, masks = np.random.default_rng(3), [], list[np.ndarray | None]()
    for _ in range(count):
        mask = np.zeros((side, side), np.bool_)
        y, x = rng.integers(0, side - 6, 2)
        mask[y : y + 6, x : x + 6] = True
        frames.append(np.where(mask, 250, 20).astype(np.uint8))
        masks.append(mask)
    return frames, masks


def test_of_a_large_frame_a_window_around_the_defect_counts() -> None:
    """As many tiles as were allowed, and the mask still covers the bright pixels of its window."""
    frames, masks = _damaged(30, side=300)
    normal = [np.full((300, 300), 20, np.uint8)] * 12
    found = validation_frames(HeldOut(normal, [], frames, masks=masks), TILER, 0, most_tiles=480)
    assert not found.synthetic and len(found.frames) == 12 + 30 and found.tiles <= 480
    for frame in found.frames:
        assert frame.mask is not None and frame.mask.any() == frame.abnormal
        assert ((frame.tiled.prepared[..., 0] == 250) == frame.mask).all()
        assert len(frame.tiled.tiles) == 4


def test_real_defects_count_where_there_are_enough() -> None:
    """Thirty of ten parts, with masks or small enough to be searched whole; else defects are made on normal frames."""
    frames, masks = _damaged(30)
    normal = _normal(12, 1)

    def synthetic(**changes: Any) -> bool:
        given = {"abnormal": frames, "masks": masks, **changes}
        return validation_frames(HeldOut(normal, [], **given), TILER, 0, most_tiles=800).synthetic

    assert not synthetic() and not synthetic(masks=[])
    assert synthetic(abnormal=frames[:29], masks=masks[:29])
    assert synthetic(parts=(None, [str(i % 9) for i in range(30)]))
    large = _damaged(30, side=300)[0]
    assert synthetic(abnormal=large, masks=[])


def test_masks_of_too_few_parts_are_left_out() -> None:
    """A figure over the pixels of nine frames would say nothing about noise."""
    frames, masks = _damaged(30)
    some = [mask if i < 9 else None for i, mask in enumerate(masks)]
    found = validation_frames(HeldOut(_normal(12, 1), [], frames, masks=some), TILER, 0, most_tiles=800)
    assert not found.synthetic and all(frame.mask is None for frame in found.frames if frame.abnormal)


def test_the_cost_is_bounded() -> None:
    """At most sixty frames of each side; of huge tiles fewer. The same seed takes the same."""
    held_out = _held_out(100)
    found = validation_frames(held_out, TILER, 5, most_tiles=1000)
    assert [f.abnormal for f in found.frames] == [False] * MOST_FRAMES + [True] * MOST_FRAMES
    again = validation_frames(held_out, TILER, 5, most_tiles=1000)
    assert all((a.tiled.tiles == b.tiled.tiles).all() for a, b in zip(found.frames, again.frames, strict=True))
    assert len(validation_frames(held_out, TILER, 5, most_tiles=20).frames) == 20


def test_a_synthetic_frame_shows_the_part_of_its_normal_frame() -> None:
    """Frames of one part are drawn together."""
    held_out = replace(_held_out(12), parts=([f"part {i}" for i in range(12)], None))
    found = validation_frames(held_out, TILER, 0, most_tiles=1000)
    assert found.synthetic and {f.part for f in found.frames if f.abnormal} == set(normal_parts(held_out))
