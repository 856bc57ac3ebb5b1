"""The demo's figures are honest: known defects, strips that do not overlap, events counted by another subscriber."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.tools.demo.camera import VISIBLE, PanningCamera
from edge_runtime.tools.demo.dataset import KNOWN_KINDS, write_dataset
from edge_runtime.tools.demo.defects import PAINTERS, paint
from edge_runtime.tools.demo.run import MODEL
from edge_runtime.tools.demo.surface import CALIBRATION_COLUMNS, CAMERA_COLUMNS, FRAME, TRAIN_COLUMNS, lean
from export.verify import verify_package
from latentline.package.model_package import load_package
from latentline.vision.images import read_image


@settings(max_examples=30)
@given(st.sampled_from(sorted(PAINTERS)), st.integers(20, 90), st.integers(20, 90), st.integers(0, 99))
def test_the_mask_is_where_the_paint_is(kind: str, x: int, y: int, seed: int) -> None:
    """Pixels in the mask changed by more than 6 grey levels, the others did not; the defect lies around its centre."""
    image = np.full((112, 112), 110, np.uint8)
    painted, mask = paint(image, kind, (x, y), np.random.default_rng(seed))
    change = np.abs(painted.astype(int) - image)
    assert mask.any() and (change[~mask] <= 6).all() and (change[mask] > 6).all()
    ys, xs = np.nonzero(mask)
    assert np.hypot(xs - x, ys - y).max() < 40


def test_the_three_strips_do_not_overlap() -> None:
    """The camera sees nothing that trained or calibrated the shipped model."""
    columns = [set(range(*s.indices(512))) for s in (TRAIN_COLUMNS, CALIBRATION_COLUMNS, CAMERA_COLUMNS)]
    assert not columns[0] & columns[1] and not columns[1] & columns[2] and not columns[0] & columns[2]
    assert set(KNOWN_KINDS) < set(PAINTERS)  # the model has never seen one of the kinds


@pytest.mark.parametrize("slope", [-0.08, 0.0, 0.08])
def test_joints_lean_and_courses_do_not(slope: float) -> None:
    """A vertical joint leans by the slope, a horizontal one stays in its row, and no edge of the picture is seen."""
    joints, courses = np.full((2, 112, 128), 100, np.uint8)
    joints[:, 62:66], courses[50:54] = 200, 200
    leaning = lean(joints, slope)
    bright = (leaning.astype(float) - 100).clip(0)
    centres = (bright * np.arange(leaning.shape[1])).sum(axis=1) / bright.sum(axis=1)
    assert np.polyfit(np.arange(112), centres, 1)[0] == pytest.approx(slope, abs=0.002)
    assert centres.mean() == pytest.approx((leaning.shape[1] - 1) / 2, abs=0.3)
    assert np.array_equal(lean(courses, slope), courses[:, : leaning.shape[1]])


def test_the_dataset_has_the_frames_of_a_training(tmp_path: Path) -> None:
    """Held-out and painted frames have the camera's size, and each painted one has a mask of its own."""
    write_dataset(tmp_path, views=2, calibration=3, abnormal=2)
    frames = [*tmp_path.glob("validation/good/*.png"), *tmp_path.glob("test/*/*.png")]
    masks = sorted(tmp_path.glob("ground_truth/*/*.png"))
    assert len(frames) == 3 + 2 * len(KNOWN_KINDS) and len(masks) == 2 * len(KNOWN_KINDS)
    assert all(read_image(path).shape[:2] == (FRAME, FRAME) for path in frames + masks)
    assert all(read_image(path).any() for path in masks)


def test_the_camera_knows_the_ground_truth_of_every_frame() -> None:
    """One seed gives the same frames; mask and kinds belong to the frame; a closed camera gives no frame."""
    cameras = [PanningCamera("a", 60, 3), PanningCamera("a", 60, 3)]
    for camera in cameras:
        camera.open()
    for number in range(25):
        first, second = (camera.read() for camera in cameras)
        assert first is not None and second is not None and first.number == number
        assert first.image.shape == (FRAME, FRAME, 1) and np.array_equal(first.image, second.image)
        truth = cameras[0].truths[number]
        assert truth.abnormal == bool(truth.kinds)
        assert not truth.abnormal or truth.mask.sum() >= VISIBLE
        assert not truth.clear or truth.abnormal or not truth.mask.any()
    cameras[0].close()
    assert cameras[0].read() is None


def test_the_shipped_model_verifies_and_is_small() -> None:
    """Its graphs give their self-test's answers in the station's runtime; all of it is under 6 MB."""
    assert sum(p.stat().st_size for p in MODEL.iterdir()) < 6e6
    assert all(check.passed for check in verify_package(MODEL))
    assert load_package(MODEL).manifest.calibration.false_alarm_rate <= 0.05


def test_the_demo_runs_by_itself(tmp_path: Path) -> None:
    """The demo exits with 0, every published event arrives, and it writes a summary that counts them, and pictures."""
    output = tmp_path / "out"
    command = [sys.executable, "-m", "edge_runtime", "demo", "--seconds", "8", "--seed", "1", "--output", str(output)]
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
def test_a_wrong_argument_is_one_sentence(tmp_path: Path, arguments: list[str], sentence: str) -> None:
    """A wrong argument ends with exit code 2 and no traceback."""
    command = [sys.executable, "-m", "edge_runtime", "demo", "--output", str(tmp_path / "out"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2 and sentence in done.stderr and "Traceback" not in done.stderr
