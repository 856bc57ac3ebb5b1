"""How long does a whole frame take, of several sizes, for each model and for peers on a pretrained network?

python -m bench.speed.frames IMAGES PACKAGE [PACKAGE …] [--sizes 640x480 1280x720 2448x2048] [--repeats 15]
    [--labelled GOOD BAD] [--threads N] [--json]

IMAGES is a folder of normal images. A frame of a size is laid of one of them and its mirror images, at their own scale,
each time shifted. A model inspects it as on a station, maps and defects included; a package with a height scales the
frame to it first. The peers stand on one pretrained network. PaDiM and PatchCore squeeze the frame to 224 x 224 px, on
one thread; PatchCore keeps the share 0.01 of its patches. "PaDiM, own scale" squeezes nothing, has one Gaussian for all
places, and as many threads as the models. All take turns within a repeat, on the same frames.

Of each: the median and the 99th percentile of milliseconds, the median of CPU milliseconds, which all threads take
together and other work on the machine changes less, megapixels of the frame a second at the median, tiles, and
the ratio of the first package's time to its own in the same repeat, with its quartiles. `growth` is the exponent of the
time in the area between the smallest and the largest size: 1 is linear. `memory` is the resident memory that opening
the model and inspecting the largest frame added, in MB. With --labelled, `image AUROC` is that of all images in the
folder GOOD against all in BAD, at any depth and as they are: give images that no model was trained on.
"""

from __future__ import annotations

import argparse
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter, process_time

import cv2
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from bench.baselines.full_scale_padim import FullScalePadim
from bench.baselines.padim import Padim
from bench.baselines.patch_core import PatchCore
from bench.baselines.trunk import TrunkFeatures
from bench.command_line import bench_parser
from bench.conditions import conditions
from bench.detection.protocol.tables import Cell, Table
from latentline.backends.openvino.searcher import usable_cores
from latentline.base.arguments import count, frame_size
from latentline.errors import ConfigError, DatasetError, run_command
from latentline.model import Model, open_model
from latentline.vision.images import list_images, read_image
from latentline.vision.laid_frame import laid_frame
from trainer.evaluation.intervals import Estimate, estimate, resample
from trainer.evaluation.metrics import image_auroc, weighted_auroc

UInt8 = npt.NDArray[np.uint8]
Float = npt.NDArray[np.float64]
FITTED, FEWEST = 40, 10  # normal images for the peers
CORESET = 0.01
Inspect = Callable[[UInt8], tuple[int, float]]  # a frame in, the number of its tiles and its anomaly score out


def peers(images: Sequence[UInt8], threads: int) -> dict[str, Inspect]:
    """PaDiM and PatchCore, fitted to the images. Raises BackendError where the network's weights are not here."""
    features = TrunkFeatures()
    padim, core = Padim(features, grid=14, levels=(1, 2, 3, 4)), PatchCore(features, kept=CORESET)
    full_scale = FullScalePadim(threads)
    for baseline in (padim, core, full_scale):
        baseline.fit(images)

    def scoring(baseline: Padim | PatchCore) -> Inspect:
        def inspect(frame: UInt8) -> tuple[int, float]:
            features.forget()  # each goes through the network anew, as in a station
            return 1, baseline.score(frame)[0]

        return inspect

    squeezing = {padim.name: scoring(padim), f"{core.name}, 1 %": scoring(core)}
    return {**squeezing, full_scale.name: lambda frame: (1, full_scale.score(frame))}


def opened(options: argparse.Namespace, largest: UInt8) -> tuple[dict[str, Inspect], dict[str, float]]:
    """The models of the packages by name, and the memory of each in MB once it has inspected the largest frame."""
    inspectors: dict[str, Inspect] = {}
    memory: dict[str, float] = {}
    for path in options.packages:
        name = "/".join(path.absolute().parts[-2:])
        if name in inspectors:
            raise ConfigError(f"{path}: another package is called {name}, too; rename its folder")
        before = _resident()
        inspectors[name] = _inspecting(open_model(path, "openvino", threads=options.threads))
        inspectors[name](largest)
        memory[name] = (_resident() - before) / 1e6
    return inspectors, memory


def _inspecting(model: Model) -> Inspect:
    def inspect(frame: UInt8) -> tuple[int, float]:
        result = model.inspect(frame)
        return result.tiles, result.score

    return inspect


def _resident() -> int:
    """Resident memory of this process in bytes."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Turns:
    """Of each inspector: milliseconds of each frame [n], by the clock and of the CPU, and searched tiles of a frame."""

    times: dict[str, Float]
    cpu: dict[str, Float]
    tiles: dict[str, int]


def turns(inspectors: Mapping[str, Inspect], frames: Sequence[UInt8]) -> Turns:
    """Let all inspect each frame in turn; one frame, not timed, warms up."""
    times: dict[str, list[float]] = {name: [] for name in inspectors}
    cpu: dict[str, list[float]] = {name: [] for name in inspectors}
    tiles = {name: inspect(frames[0])[0] for name, inspect in inspectors.items()}
    for frame in frames:
        for name, inspect in inspectors.items():
            start, worked = perf_counter(), process_time()
            inspect(frame)
            times[name].append(1e3 * (perf_counter() - start))
            cpu[name].append(1e3 * (process_time() - worked))
    arrays = ({name: np.array(values) for name, values in given.items()} for given in (times, cpu))
    return Turns(next(arrays), next(arrays), tiles)


def size_table(title: str, area: int, taken: Turns) -> Table:
    """A row for each inspector; ratios are to the first of them."""
    table, first = Table(title), next(iter(taken.times.values()))
    for name, values in taken.times.items():
        low, middle, high = np.percentile(first / values, (25, 50, 75))
        table.add(
            name,
            {
                "p50 ms": float(np.median(values)),
                "p99 ms": float(np.percentile(values, 99)),
                "CPU ms": float(np.median(taken.cpu[name])),
                "MP/s": area / 1e3 / float(np.median(values)),
                "tiles": str(taken.tiles[name]),
                "first / this": f"{middle:.2f} [{low:.2f}, {high:.2f}]",
            },
        )
    return table


def detection(inspectors: Mapping[str, Inspect], good: Path, bad: Path) -> dict[str, Estimate]:
    """Image AUROC of each inspector on the images of both folders. Raises DatasetError where one has none."""
    scores: dict[str, list[float]] = {name: [] for name in inspectors}
    paths = [_images_below(folder) for folder in (good, bad)]
    for folder, found in zip((good, bad), paths, strict=True):
        if not found:
            raise DatasetError(f"{folder}: no images; give a folder of normal and one of abnormal images")
    for path in tqdm([*paths[0], *paths[1]], desc="labelled", unit="img"):
        frame = read_image(path)
        for name, inspect in inspectors.items():
            scores[name].append(inspect(frame)[1])
    kinds = np.repeat(["good", "bad"], [len(found) for found in paths])
    weights, abnormal = resample(list(kinds), [str(i) for i in range(len(kinds))]), kinds == "bad"
    found_by = {name: np.array(values, dtype=np.float64) for name, values in scores.items()}
    return {
        name: estimate(image_auroc(x[~abnormal], x[abnormal]), partial(weighted_auroc, x, abnormal), weights)
        for name, x in found_by.items()
    }


def _images_below(folder: Path) -> list[Path]:
    folders = [folder, *sorted(path for path in folder.rglob("*") if path.is_dir())] if folder.is_dir() else []
    return [path for below in folders for path in list_images(below)]


def measure(options: argparse.Namespace) -> list[Table]:
    """A table for each size, and a summary."""
    paths = list_images(options.images)[:FITTED] if options.images.is_dir() else []
    if len(paths) < FEWEST:
        raise DatasetError(f"{options.images}: fewer than {FEWEST} images; give a folder of normal images")
    images = [read_image(path) for path in tqdm(paths, desc="images", unit="img")]
    sizes = sorted(options.sizes, key=math.prod)
    inspectors, memory = opened(options, laid_frame(images[0], sizes[-1], 0))
    inspectors |= peers(images, options.threads)
    tables, medians = [], dict[str, list[float]]()
    for wanted in tqdm(sizes, desc="sizes", unit="size"):
        frames = [laid_frame(images[i % len(images)], wanted, 7 * i) for i in range(options.repeats)]
        taken = turns(inspectors, frames)
        tables.append(size_table(f"{wanted[0]} x {wanted[1]} px", math.prod(wanted), taken))
        for name, values in taken.times.items():
            medians.setdefault(name, []).append(float(np.median(values)))
    summary = Table("summary")
    areas = math.log(math.prod(sizes[-1]) / math.prod(sizes[0])) if len(sizes) > 1 else None
    for name, found in medians.items():
        cells: dict[str, Cell] = {"growth": None if not areas else math.log(found[-1] / found[0]) / areas}
        summary.add(name, {**cells, "memory, MB": memory.get(name)})
    if options.labelled:
        for name, auroc in detection(inspectors, *options.labelled).items():
            summary.add(name, {"image AUROC": auroc})
    return [*tables, summary]


def main() -> int:
    """Measure and print."""
    parser = bench_parser(__doc__)
    parser.add_argument("images", type=Path, help="a folder of normal images")
    parser.add_argument("packages", type=Path, nargs="+", metavar="PACKAGE")
    parser.add_argument("--sizes", type=frame_size, nargs="+", default=[(640, 480), (1280, 720), (2448, 2048)])
    parser.add_argument("--repeats", type=count, default=15, help="frames of each size (default: %(default)s)")
    parser.add_argument("--labelled", type=Path, nargs=2, metavar=("GOOD", "BAD"), help="folders of test images")
    parser.add_argument("--threads", type=count, default=usable_cores(), help="of the CPU (default: all cores)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args()
    if not options.repeats or not options.threads or len({math.prod(s) for s in options.sizes}) < len(options.sizes):
        raise ConfigError("give one repeat or more, one thread or more, and sizes of different areas")
    cv2.setNumThreads(options.threads)
    tables = measure(options)
    if options.json:
        print(json.dumps({**conditions(), "tables": [table.to_json() for table in tables]}, indent=1))
    else:
        notes = "\n".join(f"- {name}: {value}" for name, value in {**conditions(), "threads": options.threads}.items())
        print("\n\n".join(["# Whole frames", notes, *(table.to_markdown() for table in tables)]))
    return 0


if __name__ == "__main__":
    raise SystemExit(run_command(main))
