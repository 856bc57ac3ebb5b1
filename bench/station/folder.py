"""Does a station use all cores for a folder of pictures, how soon does it begin, and how much memory does it take?

python -m bench.station.folder IMAGES [--package PACKAGE] [--pictures 1000] [--size 640x480] [--json]

IMAGES is a folder of normal images, of which the pictures are laid. `latentline-edge run` inspects all of them, as a
folder camera with every_frame. Other work on this machine takes time from it, so besides the share of the cores that
its threads had (`used`) there is the share that they would have had alone (`wanted`): every 20 ms, the threads that run
or wait for a core, at most as many as there are cores. 1 - wanted is what the station left idle. Both are from the
first inspected picture to the last. `start` is from the start of the process until the first picture is inspected.
Memory is resident, at its largest.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import yaml
from tqdm import tqdm

from bench.command_line import bench_parser
from bench.conditions import conditions
from bench.station.rig.broker import KillableBroker
from bench.termination import exit_on_sigterm
from latentline.backends.openvino.searcher import usable_cores
from latentline.base.arguments import count, frame_size
from latentline.errors import DatasetError, TrainingError, run_command
from latentline.vision.images import list_images, read_image
from latentline.vision.laid_frame import laid_frame

DEMO = Path(__file__).parents[2] / "edge_runtime" / "tools" / "demo" / "model"
POLL_SECONDS = 0.02


@dataclass(frozen=True)
class FolderFigures:
    """What a station did with a folder; times in seconds, memory in MB."""

    pictures: int
    start: float
    start_processor: float
    pictures_a_second: float
    processor_ms_a_picture: float
    used: float
    wanted: float
    memory: float


def processor_seconds(process: int) -> float:
    """Processor time of a process so far; 0 where it has ended."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def runnable(process: int) -> int:
    """How many threads of a process run or wait for a core."""
    found = 0
    for task in Path(f"/proc/{process}/task").glob("*/stat"):
        try:
            found += task.read_text("utf-8", "replace").rpartition(")")[2].split()[0] == "R"
        except (OSError, IndexError):
            continue  # it has just ended
    return found


def write_pictures(images: Path, folder: Path, number: int, size: tuple[int, int]) -> list[Path]:
    """Lay `number` pictures of the images; PNG, sorted by name. Raises DatasetError where there is no image."""
    paths = list_images(images)[:20] if images.is_dir() else []
    if not paths:
        raise DatasetError(f"{images}: no image; give a folder of normal images")
    seen = [read_image(path) for path in paths]
    folder.mkdir()
    pictures = [folder / f"{index:05}.png" for index in range(number)]
    for index, path in enumerate(tqdm(pictures, unit="img", desc="writing pictures", delay=2)):
        cv2.imwrite(str(path), laid_frame(seen[index % len(seen)], size, 7 * index))
    return pictures


def write_station(folder: Path, package: Path, port: int) -> Path:
    """The file of a station for the pictures in `folder`; it deletes what it has inspected."""
    camera = {
        "id": "line",
        "kind": "folder",
        "source": str(folder / "pictures"),
        "every_frame": True,
        "after": "delete",
    }
    station = {
        "station": {"id": "bench"},
        "model": str(package.resolve()),
        "backend": "openvino",
        "cameras": [camera],
        "mqtt": {"host": "127.0.0.1", "port": port},
        "spool": {"path": str(folder / "spool.sqlite")},
        "supervision": {"http_port": None},
    }
    path = folder / "station.yaml"
    path.write_text(yaml.safe_dump(station), encoding="utf-8")
    return path


def watch(command: list[str], pictures: list[Path], log: Path) -> FolderFigures:
    """Run the station to its end. Raises TrainingError, with the end of its log, where it inspects nothing."""
    began, memory, cores = time.perf_counter(), 0.0, usable_cores()
    seen: list[tuple[float, float, int]] = []  # time, processor time, runnable threads, from the first picture on
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            while process.poll() is None:
                memory = max(memory, _resident(process.pid))
                if not pictures[0].exists() and pictures[-1].exists():
                    seen.append((time.perf_counter(), processor_seconds(process.pid), runnable(process.pid)))
                time.sleep(POLL_SECONDS)
        finally:
            process.kill()
    if len(seen) < 2 or process.returncode or pictures[-1].exists():
        raise TrainingError(f"the station ended with {process.returncode}: {log.read_text(errors='replace')[-500:]}")
    (first, spent, _), (last, total, _), counted = seen[0], seen[-1], len(pictures) - 1
    return FolderFigures(
        pictures=len(pictures),
        start=first - began,
        start_processor=spent,
        pictures_a_second=counted / (last - first),
        processor_ms_a_picture=1e3 * (total - spent) / counted,
        used=(total - spent) / (last - first) / cores,
        wanted=sum(min(threads, cores) for _, _, threads in seen) / len(seen) / cores,
        memory=memory,
    )


def _resident(process: int) -> float:
    """Resident memory in MB; 0 where the process has ended."""
    try:
        return int(Path(f"/proc/{process}/statm").read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    except (OSError, IndexError):
        return 0.0


def measure(options: argparse.Namespace) -> FolderFigures:
    """Write the pictures, and run broker and station."""
    with exit_on_sigterm(), tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pictures = write_pictures(options.images, folder / "pictures", options.pictures, options.size)
        broker = KillableBroker(folder / "broker", save_everything=False)
        try:
            broker.start()
            station = write_station(folder, options.package, broker.port)
            command = [sys.executable, "-m", "edge_runtime", "run", str(station)]
            return watch(command, pictures, folder / "log.txt")
        finally:
            broker.stop()


def main() -> int:
    """Measure and print."""
    parser = bench_parser(__doc__)
    parser.add_argument("images", type=Path, help="a folder of normal images")
    parser.add_argument("--package", type=Path, default=DEMO, help="default: the demo's")
    parser.add_argument("--pictures", type=count, default=1000, help="default: %(default)s")
    parser.add_argument("--size", type=frame_size, default=(640, 480), help="of a picture (640x480)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args()
    figures = asdict(measure(options))
    if options.json:
        print(json.dumps({**conditions(), **figures}))
    else:
        print("\n".join(f"{name:<24}{value:>10,.2f}" for name, value in figures.items()))
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))
