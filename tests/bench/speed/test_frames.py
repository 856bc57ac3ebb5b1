"""bench.speed.frames: whole frames of several sizes, models and peers in turn."""

import argparse
import math
from pathlib import Path

import cv2
import numpy as np
import pytest

from bench.speed import frames
from latentline.errors import DatasetError
from tests.paths import ROOT

DEMO = ROOT / "edge_runtime" / "tools" / "demo" / "model"


def test_every_inspector_sees_every_frame(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row for the package and each peer at each size; the first row has the ratio 1, and memory is the model's."""
    rng = np.random.default_rng(0)
    for index in range(frames.FEWEST):
        cv2.imwrite(str(tmp_path / f"{index}.png"), rng.integers(0, 256, (40, 48), dtype=np.uint8))
    seen: list[tuple[int, int]] = []

    def peer(frame: frames.UInt8) -> tuple[int, float]:
        seen.append((frame.shape[1], frame.shape[0]))
        return 1, 0.0

    monkeypatch.setattr(frames, "peers", lambda images, threads: {"peer": peer})
    sizes = [(96, 64), (64, 48)]
    options = argparse.Namespace(images=tmp_path, packages=[DEMO], sizes=sizes, repeats=2, threads=1, labelled=None)
    small, large, summary = frames.measure(options)
    assert (small.title, large.title) == ("64 x 48 px", "96 x 64 px")
    assert list(small.rows) == list(large.rows) == list(summary.rows) == ["demo/model", "peer"]
    assert small.rows["demo/model"]["first / this"] == "1.00 [1.00, 1.00]"
    assert sorted(set(seen)) == [(64, 48), (96, 64)] and len(seen) == 2 * (1 + 2)
    assert isinstance(large.rows["demo/model"]["CPU ms"], float)
    milliseconds, rate = (large.rows["demo/model"][column] for column in ("p50 ms", "MP/s"))
    assert isinstance(milliseconds, float) and rate == pytest.approx(math.prod((96, 64)) / 1e3 / milliseconds)


def test_too_few_images_are_a_sentence(tmp_path: Path) -> None:
    """Nothing is opened for them."""
    options = argparse.Namespace(images=tmp_path / "none", packages=[DEMO], sizes=[(64, 48)], repeats=1, threads=1)
    with pytest.raises(DatasetError, match="fewer than 10 images"):
        frames.measure(options)


def test_detection_is_measured_on_labelled_images(tmp_path: Path) -> None:
    """Who scores all bad images higher has 1, who scores all alike has a half; an empty folder is a sentence."""
    for name, level in (("good/a.png", 1), ("good/b.png", 2), ("bad/kind/c.png", 9), ("bad/kind/d.png", 8)):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.full((16, 16), level, np.uint8))
    inspectors: dict[str, frames.Inspect] = {
        "right": lambda frame: (1, float(frame.mean())),
        "blind": lambda frame: (1, 0.0),
    }
    found = frames.detection(inspectors, tmp_path / "good", tmp_path / "bad")
    assert (found["right"].value, found["blind"].value) == (1.0, 0.5)
    with pytest.raises(DatasetError, match="no images"):
        frames.detection(inspectors, tmp_path / "good", tmp_path / "none")
