"""Write the images that the shipped demo model was trained on: `python -m edge_runtime.tools.demo.dataset OUT`.

Then `latentline-train fit configs/train/demo.yaml RUN --data OUT` and
`latentline-export package RUN PACKAGE --false-alarm-rate 0.01`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from edge_runtime.tools.demo.defects import paint
from edge_runtime.tools.demo.surface import CALIBRATION_COLUMNS, FRAME, TRAIN_COLUMNS, expose, lean, load_surface

KNOWN_KINDS = ("scratch", "stain", "chip")  # the model first sees a `hole` in the demo
LARGEST_SLOPE = 0.08  # px a row; the joints of the training strip lean by 0.05, those of the camera's by up to 0.14
TRAIN_ROWS = 160  # px
UInt8 = npt.NDArray[np.uint8]


def write_dataset(root: Path, seed: int = 0, views: int = 64, calibration: int = 160, abnormal: int = 60) -> None:
    """Write normal views of the training strip and the calibration strip, and painted ones of the training strip."""
    rng = np.random.default_rng(seed)
    surface = load_surface()
    strip, held_out = surface[:, TRAIN_COLUMNS], surface[:, CALIBRATION_COLUMNS]
    for index in range(views):
        _write(root / "train" / "good" / f"{index:03}.png", expose(_view(strip, TRAIN_ROWS, rng), rng))
    for index in range(calibration):
        view = _frame(held_out, rng)
        view = view[:, ::-1] if rng.random() < 0.5 else view
        _write(root / "validation" / "good" / f"{index:03}.png", expose(view, rng))
    for kind in KNOWN_KINDS:
        for index in range(abnormal):
            centre = (int(rng.integers(20, FRAME - 20)), int(rng.integers(20, FRAME - 20)))
            painted, mask = paint(_frame(strip, rng), kind, centre, rng)
            _write(root / "test" / kind / f"{index:03}.png", expose(painted, rng))
            _write(root / "ground_truth" / kind / f"{index:03}_mask.png", mask.astype(np.uint8) * 255)


def _frame(strip: UInt8, rng: np.random.Generator) -> UInt8:
    """A view [FRAME, FRAME] somewhere in the strip."""
    view = _view(strip, FRAME, rng)
    x = int(rng.integers(0, view.shape[1] - FRAME + 1))
    return view[:, x : x + FRAME]


def _view(strip: UInt8, rows: int, rng: np.random.Generator) -> UInt8:
    """Some rows of the strip, seen from further left or right."""
    y = int(rng.integers(0, strip.shape[0] - rows + 1))
    return lean(strip[y : y + rows], rng.uniform(-LARGEST_SLOPE, LARGEST_SLOPE))


def _write(path: Path, image: UInt8) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), image)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    write_dataset(options.out, options.seed)
    print(f"wrote {options.out}")
