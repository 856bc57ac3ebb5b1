"""Write the images that the shipped demo model was trained on: `python -m edge_runtime.tools.demo.dataset OUT`.

Then `latentline-train fit configs/train/demo.yaml RUN --data OUT`, `latentline-export package RUN PACKAGE --data OUT`,
and PACKAGE takes the place of the folder `model`. A new docs/demo.png is demo-output/abnormal-5.png after
`latentline-edge demo --seconds 10 --seed 4`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from edge_runtime.tools.demo.defects import paint
from edge_runtime.tools.demo.surface import Pile, UInt8, load_piles
from edge_runtime.tools.demo.wall import HEIGHT, WIDTH, expose, lay_wall

KNOWN_KINDS = ("scratch", "stain", "chip")  # the model first sees a `hole` in the demo
MARGIN = 24  # px between the centre of a defect and the edge of the frame


def write_dataset(root: Path, seed: int = 0, train: int = 64, calibration: int = 240, abnormal: int = 60) -> None:
    """Write frames of walls: normal ones of the piles for training and calibration, painted ones of the former.

    Each frame shows a wall of its own. It takes about ten seconds.
    """
    rng = np.random.default_rng(seed)
    piles = load_piles()
    for index in range(train):
        _write(root / "train" / "good" / f"{index:03}.png", _frame(piles.train, rng))
    for index in range(calibration):
        _write(root / "validation" / "good" / f"{index:03}.png", _frame(piles.calibration, rng))
    for kind in KNOWN_KINDS:
        for index in range(abnormal):
            centre = int(rng.integers(MARGIN, WIDTH - MARGIN)), int(rng.integers(MARGIN, HEIGHT - MARGIN))
            painted, mask = paint(lay_wall(piles.train, HEIGHT, WIDTH, rng), kind, centre, rng)
            _write(root / "test" / kind / f"{index:03}.png", expose(painted, rng))
            _write(root / "ground_truth" / kind / f"{index:03}_mask.png", mask.astype(np.uint8) * 255)


def _frame(pile: Pile, rng: np.random.Generator) -> UInt8:
    return expose(lay_wall(pile, HEIGHT, WIDTH, rng), rng)


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
