"""Write the images that the shipped demo model was trained on: `python -m edge_runtime.tools.demo.dataset OUT`.

Then `latentline-train fit configs/train/demo.yaml RUN --data OUT` and `latentline-export package RUN PACKAGE`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from edge_runtime.tools.demo.defects import paint
from edge_runtime.tools.demo.surface import CALIBRATION_COLUMNS, FRAME, TRAIN_COLUMNS, expose, load_surface

KNOWN_KINDS = ("scratch", "stain", "chip")  # the model first sees a `hole` in the demo
UInt8 = npt.NDArray[np.uint8]


def write_dataset(root: Path, seed: int = 0, exposures: int = 8, calibration: int = 160, abnormal: int = 60) -> None:
    """Write normal images of the training strip and the calibration strip, and painted ones of the training strip."""
    rng = np.random.default_rng(seed)
    surface = load_surface()
    strip, held_out = surface[:, TRAIN_COLUMNS], surface[:, CALIBRATION_COLUMNS]
    for index in range(exposures):
        _write(root / "train" / "good" / f"{index:03}.png", expose(strip, rng))
    for index in range(calibration):
        y = int(rng.integers(0, held_out.shape[0] - FRAME + 1))
        view = held_out[y : y + FRAME, :FRAME]
        view = view[:, ::-1] if rng.random() < 0.5 else view
        _write(root / "validation" / "good" / f"{index:03}.png", expose(view, rng))
    for kind in KNOWN_KINDS:
        for index in range(abnormal):
            y, x = (int(rng.integers(0, side - FRAME + 1)) for side in strip.shape)
            view = strip[y : y + FRAME, x : x + FRAME]
            centre = (int(rng.integers(20, FRAME - 20)), int(rng.integers(20, FRAME - 20)))
            painted, mask = paint(view, kind, centre, rng)
            _write(root / "test" / kind / f"{index:03}.png", expose(painted, rng))
            _write(root / "ground_truth" / kind / f"{index:03}_mask.png", mask.astype(np.uint8) * 255)


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
