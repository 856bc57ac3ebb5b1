"""What does each setting of the search detect, and what does an image cost with it?

python -m bench.speed.pareto OUT RUN [RUN …] [--overlaps 0.5 0.25 0] [--iterations 0 10] [--workers 1]
    [--tiles all 8] [--report-only]

Each RUN is a finished training; several are seeds of one method on one data set, and the table has their means. Every
setting is calibrated on the held-out images of the run and evaluated on its test images as on a station, in
OUT/RUN/SETTING, where what is finished is kept. The first setting is the reference of the differences. `pareto.png`
shows image AUROC against milliseconds.

A default is not chosen by this table: `search.iterations: auto` and the map are chosen on validation images.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from bench.command_line import bench_parser
from bench.detection.protocol.jobs import Job, finished_jobs
from bench.detection.protocol.seed_means import mean_auroc
from bench.detection.protocol.seed_tables import mean_of
from bench.detection.protocol.tables import Cell, Table, write_tables
from latentline.base.arguments import count, fraction, searched_tiles
from latentline.errors import ConfigError, run_command
from trainer.checkpoint import read_config
from trainer.config import TrainConfig
from trainer.settings.search import TilesSetting

LEGEND = (
    "Brackets: 95 % intervals over the parts in the test images (bootstrap). ±: the standard deviation over the runs. "
    "Times are of one thread, and of a quiet machine only if it was quiet."
)
PIXEL_FIGURES = {"pixel AUROC": "pixel_auroc", "AUPRO": "aupro"}
Setting = tuple[float, int, TilesSetting]  # overlap, iterations, searched tiles of a frame


def setting_jobs(options: argparse.Namespace) -> dict[Setting, list[Job]]:
    """For each setting the evaluations of all runs. Raises ConfigError where a run cannot have the setting."""
    jobs: dict[Setting, list[Job]] = {}
    for setting in product(options.overlaps, options.iterations, options.tiles):
        overlap, iterations, tiles = setting
        for run in options.runs:
            config = _with_search(read_config(run / "checkpoint"), setting)
            looked = "" if tiles == "all" else f"-tiles-{tiles}"
            folder = options.out / run.name / f"overlap-{overlap:g}-n-{iterations}{looked}"
            jobs.setdefault(setting, []).append(Job(folder, config, trained=run))
    return jobs


def _with_search(config: TrainConfig, setting: Setting) -> TrainConfig:
    overlap, iterations, tiles = setting
    if iterations and not config.method.is_gan:
        raise ConfigError(f"method {config.method.kind} has no search, so leave out --iterations")
    if isinstance(tiles, int) and not config.method.has_discriminator:
        raise ConfigError(f"method {config.method.kind} has no discriminator to look first, so leave out --tiles")
    changes = {"overlap": overlap, "iterations": iterations, "tiles": tiles}
    return config.model_copy(update={"search": config.search.model_copy(update=changes)})


def pareto_table(done: Mapping[Setting, Sequence[Job]]) -> Table:
    """A row for each setting; image AUROC, where normal images are tested, also as a difference to the first's."""
    table, first = Table("settings"), next(iter(done.values()))
    reference = [job.results()[1] for job in first]
    for (overlap, iterations, tiles), jobs in done.items():
        reports, scores = zip(*(job.results() for job in jobs), strict=True)
        confusions = [report.confusion for report in reports if report.confusion is not None]
        cells: dict[str, Cell] = {}
        if all(report.image_auroc for report in reports):
            cells["image AUROC"] = mean_of([report.image_auroc for report in reports], mean_auroc(scores))
            cells["difference"] = None if jobs is first else mean_auroc(scores, reference)
        for name, figure in PIXEL_FIGURES.items():
            cells[name] = mean_of([getattr(report, figure) for report in reports])
        cells["false alarms"] = mean_of([c.false_alarm_rate for c in confusions])
        cells["detected"] = mean_of([c.detection_rate for c in confusions])
        cells["ms an image"] = 1e3 * float(np.mean([report.seconds_per_image for report in reports]))
        table.add(f"overlap {overlap:g}, n = {iterations}, {tiles} {'tile' if tiles == 1 else 'tiles'}", cells)
    return table


def draw(table: Table, path: Path) -> None:
    """Image AUROC with its interval against milliseconds, a point for each setting; without one, pixel AUROC."""
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    shown = "image AUROC" if all("image AUROC" in cells for cells in table.rows.values()) else "pixel AUROC"
    for name, cells in table.rows.items():
        auroc, milliseconds = cells[shown], cells["ms an image"]
        assert isinstance(milliseconds, float) and not isinstance(auroc, (str, float)) and auroc is not None
        low, high = auroc.low or auroc.value, auroc.high or auroc.value
        axes.errorbar(milliseconds, auroc.value, [[auroc.value - low], [high - auroc.value]], fmt="o", capsize=3)
        axes.annotate(name, (milliseconds, auroc.value), xytext=(6, 4), textcoords="offset points", fontsize=8)
    axes.set(xscale="log", xlabel="ms an image", ylabel=shown)
    axes.grid(alpha=0.3)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def main() -> int:
    """Measure and print."""
    parser = bench_parser(__doc__)
    parser.add_argument("out", type=Path, help="folder for evaluations and results; finished ones in it are kept")
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="finished trainings")
    parser.add_argument("--overlaps", type=fraction, nargs="+", default=[0.5, 0.25, 0.0], help="of tiles (0.5 0.25 0)")
    parser.add_argument("--iterations", type=count, nargs="+", default=[0], help="search steps (default: 0)")
    parser.add_argument("--tiles", type=searched_tiles, nargs="+", default=["all"], help="of a frame to search (all)")
    parser.add_argument("--workers", type=count, default=1, help="evaluations at a time (default: %(default)s)")
    parser.add_argument("--report-only", action="store_true", help="evaluate nothing, only write the table")
    options = parser.parse_args()
    jobs = setting_jobs(options)
    names = {str(job.folder): job for row in jobs.values() for job in row}
    finished = finished_jobs(names, options.workers, report_only=options.report_only)
    done = {setting: row for setting, row in jobs.items() if all(str(job.folder) in finished for job in row)}
    if not done:
        raise ConfigError(f"{options.out}: no setting is evaluated for every run; leave out --report-only")
    table = pareto_table(done)
    draw(table, options.out / "pareto.png")
    notes = {"runs": ", ".join(str(run) for run in options.runs), "test": "all test images"}
    print(write_tables(options.out, "Settings of the search: detection and cost", notes, [table], LEGEND))
    return 0


if __name__ == "__main__":
    raise SystemExit(run_command(main))
