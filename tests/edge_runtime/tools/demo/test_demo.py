"""The demo's figures are honest: known defects, bricks of its own for the camera, events counted by a subscriber."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.cli import main
from edge_runtime.tools.demo.camera import VISIBLE, PaintedDefect, PanningCamera, Truth
from edge_runtime.tools.demo.dataset import KNOWN_KINDS, write_dataset
from edge_runtime.tools.demo.defects import PAINTERS, paint
from edge_runtime.tools.demo.run import MODEL
from edge_runtime.tools.demo.summary import compare, summarise
from edge_runtime.tools.demo.surface import COURSE, HALF_BRICK, Piles, load_piles
from edge_runtime.tools.demo.wall import HEIGHT, WIDTH, lay_wall
from export.verify import verify_package
from latentline.inspection.result import InspectionResult
from latentline.package.model_package import load_package
from latentline.scoring.defects import Defect
from latentline.vision.images import read_image


@settings(max_examples=30)
@given(st.sampled_from(sorted(PAINTERS)), st.integers(30, 130), st.integers(30, 90), st.integers(0, 99))
def test_the_mask_is_where_the_paint_is(kind: str, x: int, y: int, seed: int) -> None:
    """Pixels in the mask changed by more than 6 grey levels, the others did not; the defect lies around its centre."""
    image = np.full((120, 160), 95, np.uint8)
    painted, mask = paint(image, kind, (x, y), np.random.default_rng(seed))
    change = np.abs(painted.astype(int) - image)
    assert mask.any() and (change[~mask] <= 6).all() and (change[mask] > 6).all()
    ys, xs = np.nonzero(mask)
    assert np.hypot(xs - x, ys - y).max() < 50


@pytest.fixture(scope="module")
def piles() -> Piles:
    return load_piles()


def test_each_brick_is_in_one_pile(piles: Piles) -> None:
    """The camera sees no brick that trained or calibrated the shipped model, and one kind of defect is new to it."""
    whole = [brick.tobytes() for pile in piles for brick in pile.whole]
    half = [brick.tobytes() for pile in piles for brick in pile.half]
    assert len(set(whole)) == len(whole) == 41 and len(set(half)) == len(half) == 10
    assert min(len(pile.whole) for pile in piles) >= 13 and min(len(pile.half) for pile in piles) >= 3
    assert set(KNOWN_KINDS) < set(PAINTERS)


def test_bricks_are_framed_by_joints(piles: Piles) -> None:
    """A brick is as large as it says, bright in a joint all around, and dark inside."""
    for pile in piles:
        assert {brick.shape for brick in pile.whole} == {(COURSE, 2 * HALF_BRICK)}
        assert {brick.shape for brick in pile.half} == {(COURSE, HALF_BRICK)}
        for brick in (*pile.whole, *pile.half):
            edges = (brick[:2], brick[-2:], brick[:, :2], brick[:, -2:])
            assert min(edge.mean() for edge in edges) > 120 > 110 > brick[12:-12, 12:-12].mean()


def test_walls_are_new_and_have_no_gaps(piles: Piles) -> None:
    """Two walls differ and one seed gives one wall; joints run through from left to right, never from top to bottom."""
    walls = [lay_wall(piles.train, HEIGHT, WIDTH, np.random.default_rng(seed)) for seed in (0, 1, 0)]
    assert all(wall.shape == (HEIGHT, WIDTH) and wall.dtype == np.uint8 for wall in walls)
    assert np.array_equal(walls[0], walls[2]) and not np.array_equal(walls[0], walls[1])
    for wall in walls:
        assert sum(np.median(wall, axis=1) > 120) >= 2 * (HEIGHT // COURSE) and np.median(wall, axis=0).max() < 112


def test_the_dataset_has_the_frames_of_a_training(tmp_path: Path) -> None:
    """All frames have the camera's size, and each painted one has a mask of its own."""
    write_dataset(tmp_path, train=1, calibration=2, abnormal=1)
    frames = [*tmp_path.glob("*/good/*.png"), *tmp_path.glob("test/*/*.png")]
    masks = sorted(tmp_path.glob("ground_truth/*/*.png"))
    assert len(frames) == 3 + len(KNOWN_KINDS) and len(masks) == len(KNOWN_KINDS)
    assert all(read_image(path).shape[:2] == (HEIGHT, WIDTH) for path in frames + masks)
    assert all(read_image(path).any() for path in masks)


def test_the_camera_knows_the_ground_truth_of_every_frame() -> None:
    """One seed gives the same frames; masks belong to the frame; a closed camera gives no frame."""
    cameras = [PanningCamera("a", 60, 3), PanningCamera("a", 60, 3)]
    for camera in cameras:
        camera.open()
    found = set()
    for number in range(12):
        first, second = (camera.read() for camera in cameras)
        assert first is not None and second is not None and first.number == number
        assert first.image.shape == (HEIGHT, WIDTH, 1) and np.array_equal(first.image, second.image)
        truth = cameras[0].truths.pop(number)
        found.add(truth.abnormal)
        assert all(defect.mask.sum() >= VISIBLE and truth.mask[defect.mask].all() for defect in truth.defects)
        assert not truth.clear or truth.abnormal or not truth.mask.any()
    cameras[0].close()
    assert cameras[0].read() is None and found == {True, False}


def with_box(bbox: tuple[int, int, int, int]) -> InspectionResult:
    """An abnormal inspection of a frame of 60 x 90 px with one box."""
    image, anomaly_map = np.zeros((60, 90, 1), np.uint8), np.zeros((60, 90), np.float32)
    defect = Defect(bbox, 9, 5.0, 4.0, ((0, 0),), "map")
    return InspectionResult(5.0, 2.0, {}, (defect,), anomaly_map, image, image, 1, {"search": 3.0})


def test_a_box_hits_the_defect_that_it_is_centred_on() -> None:
    """Of two painted defects, the one under the centre of a box is hit; a frame without a clear truth has no rates."""
    scratch, stain = np.zeros((2, 60, 90), np.bool_)
    scratch[20:24, 10:30], stain[40:50, 60:70] = True, True
    truth = Truth(scratch | stain, (PaintedDefect("scratch", scratch), PaintedDefect("stain", stain)), clear=True)
    observation = compare(with_box((58, 38, 14, 14)), truth)
    assert observation.hits == (("scratch", False), ("stain", True)) and observation.painted and observation.alarm
    manifest = load_package(MODEL).manifest
    summary = summarise([observation, replace(observation, clear=False)], 2.0, manifest, 2, 2)
    assert summary.hit_rate_by_kind == {"scratch": "0/1", "stain": "1/1"} and summary.frames == 2
    assert summary.detection_rate == 1.0 and summary.false_alarm_rate is None and summary.image_auroc is None


def test_the_shipped_model_verifies_and_is_small() -> None:
    """Its graphs give their self-test's answers in the station's runtime; all of it is under 6 MB."""
    assert sum(p.stat().st_size for p in MODEL.iterdir()) < 6e6
    assert all(check.passed for check in verify_package(MODEL))
    assert load_package(MODEL).manifest.calibration.false_alarm_rate <= 0.05


def test_the_demo_runs_by_itself(tmp_path: Path) -> None:
    """The demo exits with 0, every published event arrives, and it writes a summary that counts them, and pictures."""
    output = tmp_path / "out"
    command = [sys.executable, "-m", "edge_runtime", "demo", "--seconds", "4", "--seed", "1", "--output", str(output)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env={**os.environ})
    assert done.returncode == 0, done.stderr
    summary = json.loads((output / "summary.json").read_text())
    assert summary["frames"] >= 2 and summary["events_published"] == summary["events_received"]
    lines = [line for line in done.stdout.splitlines() if "defect at x" in line]
    assert len(lines) >= summary["events_received"] > 0
    assert list(output.glob("*.png")) and "image AUROC" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--broker", "127.0.0.1:1"], "no MQTT broker answers at 127.0.0.1:1"),
        (["--broker", ":x"], "--broker"),
        (["--seconds", "0"], "--seconds"),
    ],
)
def test_a_wrong_argument_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    """A wrong argument ends with exit code 2 and no traceback."""
    code: str | int | None
    try:
        code = main(["demo", "--output", str(tmp_path / "out"), *arguments])
    except SystemExit as end:  # argparse's
        code = end.code
    assert code == 2 and sentence in capsys.readouterr().err
