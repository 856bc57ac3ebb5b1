"""Does a threshold keep what it promises where few normal images set it, and what does it still detect?

python -m bench.detection.thresholds OUT RUN [RUN …] [--images 20 40 80] [--rate 0.05] [--draws 500] [--seed 0]

Each RUN was evaluated. Its normal test images are drawn, whole parts in random order until so many images are there;
these set a threshold, and the other parts are new: false alarms are the mean over them, each part counting once. The
detection rate is that of all abnormal test images. Without groups every image is a part.

- exact, images: ranks, every image counted, whatever part it shows;
- exact, smooth: as `latentline-train evaluate --threshold` sets them. They count parts where these are enough.

Of each, over all draws: the mean false-alarm rate, which is what is promised; the rate that one draw in 20 exceeds; the
mean detection rate; the detection rate that one draw in 20 falls below; in how many draws parts were enough for a
promise about new ones. The model is the same in all draws.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from bench.command_line import bench_parser
from bench.detection.protocol.tables import Cell, Table, write_tables
from latentline.base.arguments import count, rate
from latentline.errors import run_command
from latentline.scoring.thresholds import Promise, Tail, fewest, promise, threshold
from trainer.evaluation.report import GOOD, Scores, read_results

Float = npt.NDArray[np.float64]
FEWEST_NEW = 5  # parts that must be left
LEGEND = "Means and quantiles over random draws of the images that set the threshold. Another training is not covered."


def draw_parts(parts: npt.NDArray[np.str_], images: int, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Which images [n] set the threshold: those of whole parts, in random order, until `images` are there."""
    taken = np.zeros(len(parts), np.bool_)
    for part in rng.permutation(np.unique(parts)):
        if taken.sum() >= images:
            break
        taken |= parts == part
    return taken


def outcomes(scores: Scores, images: int, options: argparse.Namespace) -> dict[str, npt.NDArray[np.float64]] | None:
    """False-alarm rate, detection rate and whether new parts are promised, [draws, 3], of each threshold.

    None: too few parts would be left.
    """
    rng = np.random.default_rng(options.seed)
    normal = scores.of(GOOD)
    parts = np.array([image.group for image in scores.images.values() if image.kind == GOOD])
    abnormal = np.array([image.score for image in scores.images.values() if image.kind != GOOD])
    found: dict[str, list[tuple[float, float, float]]] = {"exact, images": [], "exact": [], "smooth": []}
    for _ in range(options.draws):
        taken = draw_parts(parts, images, rng)
        new = np.unique(parts[~taken])
        if taken.sum() < images or len(new) < FEWEST_NEW:
            return None
        for kind, rows in found.items():
            promised = _promise(kind, parts[taken], options.rate)
            limit = threshold(normal[taken], list(parts[taken]), promised)
            alarms = float(np.mean([np.mean(normal[parts == part] > limit) for part in new]))
            rows.append((alarms, float(np.mean(abnormal > limit)), float(promised.new_parts)))
    return {kind: np.array(rows) for kind, rows in found.items()}


def _promise(kind: str, parts: npt.NDArray[np.str_], wanted: float) -> Promise:
    tail: Tail = "smooth" if kind == "smooth" else "exact"
    found = promise(len(parts), len(set(parts)), wanted, tail)
    return found.model_copy(update={"new_parts": False}) if kind == "exact, images" else found


def _cells(rows: Float, kind: str) -> dict[str, Cell]:
    alarms, detections, new_parts = rows.T
    return {
        "false alarms": f"{alarms.mean():.3f}",
        "exceeded by 1 draw in 20": f"{np.quantile(alarms, 0.95):.3f}",
        "detections": f"{detections.mean():.3f}",
        "below in 1 draw in 20": f"{np.quantile(detections, 0.05):.3f}",
        "promises about new parts": "–" if kind == "exact, images" else f"{new_parts.mean():.0%}",
    }


def main() -> int:
    """Measure and print."""
    parser = bench_parser(__doc__)
    parser.add_argument("out", type=Path, help="folder for the table")
    parser.add_argument("runs", type=Path, nargs="+", help="evaluated runs")
    parser.add_argument("--images", type=count, nargs="+", default=[20, 40, 80], help="that set a threshold")
    parser.add_argument("--rate", type=rate, default=0.05, help="promised false-alarm rate (0.05)")
    parser.add_argument("--draws", type=count, default=500, help="of images (500)")
    parser.add_argument("--seed", type=int, default=0, help="of the draws (0)")
    options = parser.parse_args()
    tables = []
    for run in options.runs:
        report, scores = read_results(run)
        groups = {image.group for image in scores.images.values() if image.kind == GOOD}
        table = Table(f"{report.name}: {len(scores.of(GOOD))} normal test images of {len(groups)} parts")
        for images in tqdm(options.images, desc=report.name, delay=2):
            found = outcomes(scores, images, options) if images >= fewest(options.rate) else None
            for kind, rows in (found or {}).items():
                table.add(f"{images} images, {kind}", _cells(rows, kind))
        tables.append(table)
    print(write_tables(options.out, "Thresholds", {"promised rate": f"{options.rate:g}"}, tables, LEGEND))
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))
