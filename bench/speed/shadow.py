"""Does a candidate in shadow delay the frames that are judged?

python -m bench.speed.shadow IMAGES PACKAGE [--candidate PACKAGE] [--share 0.1 0.5] [--rate 10] [--frames 100]
    [--blocks 6] [--json]

Frames come at `--rate` a second and are inspected on one thread, as on a station, in blocks of `--frames`. Blocks
without a candidate and with one at each share take turns. Of each kind: median and 99th percentile of the inspection,
how long `offer` took at most, and how many frames the candidate scored.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from time import monotonic, perf_counter, sleep

import numpy as np
from tqdm import tqdm

from bench.command_line import bench_parser
from bench.conditions import conditions
from bench.detection.protocol.tables import Table
from edge_runtime.cameras.base import Frame, as_hwc
from edge_runtime.shadow.settings import ShadowSection
from edge_runtime.shadow.shadow import Shadow
from latentline.base.arguments import at_least_one, fraction, positive
from latentline.errors import DatasetError, run_command
from latentline.model import Model, open_model
from latentline.vision.bit_depth import UInt8
from latentline.vision.images import list_images, read_image


def block(model: Model, images: Sequence[UInt8], shadow: Shadow | None, frames: int, rate: float) -> list[list[float]]:
    """Milliseconds of each inspection, and of each offer, of frames that come at a rate."""
    inspections, offers = [], []
    start = monotonic()
    for number in range(frames):
        sleep(max(0.0, start + number / rate - monotonic()))
        image = images[number % len(images)]
        frame = Frame(as_hwc(image), datetime.now(timezone.utc), "top", str(number), number)
        began = perf_counter()
        result = model.inspect(image)
        ended = perf_counter()
        if shadow is not None:
            shadow.offer(frame, result, model.identity)
        offers.append(1e3 * (perf_counter() - ended))
        inspections.append(1e3 * (ended - began))
    return [inspections, offers]


def measure(options: argparse.Namespace) -> Table:
    """A row without a candidate, and one for each share."""
    paths = list_images(options.images) if options.images.is_dir() else []
    if not paths:
        raise DatasetError(f"{options.images}: no images; give a folder of images")
    images = [read_image(path) for path in paths[:50]]
    kinds: dict[str, float | None] = {"no candidate": None, **{f"share {share:g}": share for share in options.share}}
    times: dict[str, list[list[float]]] = {name: [[], []] for name in kinds}
    scored = dict.fromkeys(kinds, 0)
    with open_model(options.package, "openvino", threads=1) as model:
        block(model, images, None, 10, 1000)  # warms up
        for _ in tqdm(range(options.blocks), unit="block"):
            for name, share in kinds.items():
                shadow = None if share is None else _opened(options.candidate or options.package, share)
                for kept, measured in zip(
                    times[name], block(model, images, shadow, options.frames, options.rate), strict=True
                ):
                    kept += measured
                if shadow is not None:
                    scored[name] += shadow.numbers.scored
                    shadow.close(10)
    table = Table("inspection")
    for name, (inspections, offers) in times.items():
        p50, p99 = np.percentile(inspections, (50, 99))
        cells = {"p50 ms": float(p50), "p99 ms": float(p99), "longest offer, ms": max(offers)}
        table.add(name, {**cells, "frames": str(len(inspections)), "scored by the candidate": str(scored[name])})
    return table


def _opened(candidate: Path, share: float) -> Shadow:
    """A shadow whose candidate is open."""
    shadow = Shadow(ShadowSection(model=candidate, share=share))
    shadow.thread.start()
    while not shadow.numbers.name and shadow.numbers.error is None:
        sleep(0.05)
    return shadow


def main() -> int:
    """Measure and print."""
    parser = bench_parser(__doc__)
    parser.add_argument("images", type=Path, help="a folder of images")
    parser.add_argument("package", type=Path, help="of the running model")
    parser.add_argument("--candidate", type=Path, metavar="PACKAGE", help="default: the running model's")
    parser.add_argument("--share", type=fraction, nargs="+", default=[0.1, 0.5], help="of the time (0.1 0.5)")
    parser.add_argument("--rate", type=positive, default=10.0, help="frames a second (10)")
    parser.add_argument("--frames", type=at_least_one, default=100, help="of a block (100)")
    parser.add_argument("--blocks", type=at_least_one, default=6, help="of each kind (6)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args()
    table = measure(options)
    if options.json:
        print(json.dumps({**conditions(), "table": table.to_json()}, indent=1))
    else:
        notes = "\n".join(f"- {name}: {value}" for name, value in conditions().items())
        print("\n\n".join(["# A candidate in shadow", notes, table.to_markdown()]))
    return 0


if __name__ == "__main__":
    raise SystemExit(run_command(main))
