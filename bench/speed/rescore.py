"""How fast are pictures scored again by processes and on a Ray cluster, and is an image as cheap in a larger archive?

python -m bench.speed.rescore IMAGES PACKAGE [--sizes 200 800 3200] [--workers 2] [--json]

IMAGES is a folder of pictures; an archive of a size has that many links to them. Each archive is scored by one process,
by `--workers` processes, and by as many Ray workers of a cluster on this machine (extra `ray`), once more while one of
them is killed on the way. Of each: seconds from the command's start of work to the finished table, the start of the
workers included; images a second; milliseconds an image beyond the first archive's, which is what an image costs once
the workers are there; processor time of the local workers, ms an image, which a busy machine changes little; batches
tried again; memory of the process that writes the table, MB; and whether the table is that of the one process, to the
bit.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

from tqdm import tqdm

from bench.command_line import bench_parser
from bench.conditions import conditions
from bench.detection.protocol.tables import Table
from latentline.base.arguments import at_least_one
from latentline.base.counted import counted
from latentline.errors import ConfigError, DatasetError, run_command
from latentline.package.model_package import ModelPackage, load_package
from latentline.rescoring.crew import Batch
from latentline.rescoring.local_crew import LocalCrew
from latentline.rescoring.pictures import list_pictures
from latentline.rescoring.ray_crew import RayCrew
from latentline.rescoring.rescore import OpenCrew, RescoreReport, rescore


class _OneKilled(RayCrew):
    """Loses one of its workers once they are at work."""

    given = 0

    def give(self, batch: Batch) -> None:
        super().give(batch)
        self.given += 1
        if self.given == 6:
            os.kill(int(self.places[0].split()[2]), signal.SIGKILL)


def archive(images: Sequence[Path], size: int, folder: Path) -> Path:
    """A folder with `size` links to the images."""
    folder.mkdir()
    for number in range(size):
        source = images[number % len(images)]
        (folder / f"{number:07d}{source.suffix}").symlink_to(source.absolute())
    return folder


@contextmanager
def cluster(workers: int) -> Iterator[Any]:
    """Ray on this machine; None where it is not installed."""
    try:
        import ray
    except ImportError:
        yield None
        return
    ray.init(num_cpus=workers, object_store_memory=200 << 20, include_dashboard=False, log_to_driver=False)
    try:
        yield ray
    finally:
        ray.shutdown()


def crews(ray: Any, folder: Path, workers: int) -> dict[str, OpenCrew]:
    """The crews that take turns, by name."""
    found: dict[str, OpenCrew] = {"1 process": partial(LocalCrew, workers=1)}
    found[counted(workers, "process", "processes")] = partial(LocalCrew, workers=workers)
    if ray is not None:
        found[f"Ray, {counted(workers, 'worker')}"] = partial(RayCrew, ray, folder=folder, workers=workers)
        found[f"Ray, {counted(workers, 'worker')}, one killed"] = partial(
            _OneKilled, ray, folder=folder, workers=workers
        )
    return found


def timed(folder: Path, package: ModelPackage, out: Path, open_crew: OpenCrew) -> tuple[RescoreReport, float]:
    """One run and its seconds."""
    start = perf_counter()
    with tqdm(unit="img", desc=out.stem, delay=2) as bar:
        report = rescore(list_pictures(folder), package, out, open_crew, bar.update)
    return report, perf_counter() - start


def measure(options: argparse.Namespace, ray: Any, folder: Path) -> list[Table]:
    """A table for each size."""
    package, images = load_package(options.package), [picture.path for picture in list_pictures(options.images)]
    tables, before = [], dict[str, tuple[int, float]]()
    for size in options.sizes:
        pictures, table = archive(images, size, folder / str(size)), Table(f"{size} images")
        first: bytes | None = None
        for name, open_crew in crews(ray, pictures, options.workers).items():
            out = folder / f"{name}.parquet"
            busy = _children()
            report, seconds = timed(pictures, package, out, open_crew)
            busy = _children() - busy
            content = out.read_bytes()
            first = first or content
            more = None
            if name in before:
                more = 1e3 * (seconds - before[name][1]) / (size - before[name][0])
            else:
                before[name] = size, seconds
            cells = {
                "seconds": seconds,
                "images/s": size / seconds,
                "ms an image beyond the first archive": more,
                "CPU ms an image": None if name.startswith("Ray") else 1e3 * busy / size,
                "batches again": str(report.retried),
                "memory, MB": _resident() / 1e6,
                "same table": "yes" if content == first else "NO",
            }
            table.add(name, cells)
        tables.append(table)
    return tables


def _children() -> float:
    """Processor seconds of the processes that ended until now."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _resident() -> int:
    """Resident memory of this process in bytes."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main() -> int:
    """Measure and print."""
    parser = bench_parser(__doc__)
    parser.add_argument("images", type=Path, help="a folder of pictures")
    parser.add_argument("package", type=Path, help="folder or .zip of the model package")
    parser.add_argument("--sizes", type=at_least_one, nargs="+", default=[200, 800, 3200], help="of the archives")
    parser.add_argument("--workers", type=at_least_one, default=2, help="processes, and Ray workers (2)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args()
    if sorted(set(options.sizes)) != options.sizes:
        raise ConfigError("give the sizes in rising order")
    if not options.images.is_dir():
        raise DatasetError(f"{options.images}: there is no such folder")
    with tempfile.TemporaryDirectory() as folder, cluster(options.workers) as ray:
        tables = measure(options, ray, Path(folder))
    if options.json:
        print(json.dumps({**conditions(), "tables": [table.to_json() for table in tables]}, indent=1))
    else:
        notes = "\n".join(f"- {name}: {value}" for name, value in conditions().items())
        print("\n\n".join(["# Scoring again", notes, *(table.to_markdown() for table in tables)]))
    return 0


if __name__ == "__main__":
    raise SystemExit(run_command(main))
