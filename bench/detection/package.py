"""How well and how fast does a model package detect, on the test images of its training, with the station's backend?

python -m bench.detection.package PACKAGE RUN OUT [--data DIR] [--limit N]

The table compares the model with baselines on the same images: a model that does not beat them is of no use. OUT gets
the evaluation of the model, one of each baseline, and the table.
"""

from __future__ import annotations

import sys
from pathlib import Path

from bench.baselines.choice import all_baselines
from bench.baselines.evaluation import baseline_results
from bench.command_line import bench_parser
from bench.detection.protocol.comparison import report_cells
from bench.detection.protocol.options import limit_note
from bench.detection.protocol.tables import Table, write_tables
from latentline.backends.openvino.searcher import OpenVinoSearcher
from latentline.backends.openvino.trunk import open_trunk
from latentline.errors import run_command
from latentline.package.model_package import load_package
from trainer.checkpoint import load_checkpoint
from trainer.data.sources import open_source
from trainer.evaluation.accumulator import Subject
from trainer.evaluation.evaluate import evaluate, limited


def main() -> int:
    """Measure and print."""
    parser = bench_parser(__doc__)
    parser.add_argument("package", type=Path)
    parser.add_argument("run", type=Path, help="run folder of the training, which knows the test images")
    parser.add_argument("out", type=Path, help="folder for reports and images")
    parser.add_argument("--data", type=Path, help="folder of the images, if it has moved")
    parser.add_argument("--limit", type=int, help="at most N images of each kind, drawn by seed")
    options = parser.parse_args()
    checkpoint, package = load_checkpoint(options.run), load_package(options.package)
    config = checkpoint.config
    if options.data is not None:
        config = config.model_copy(update={"data": config.data.model_copy(update={"root": options.data.resolve()})})
    split = limited(checkpoint.split, options.limit, config.schedule.seed)
    searcher = OpenVinoSearcher(package)
    manifest = package.manifest
    search, choice = manifest.search, manifest.search_choice
    subject = Subject(
        manifest.name, manifest.method, searcher.name, search.iterations, choice=choice, tiles=search.most_tiles
    )
    try:
        report = evaluate(
            package.inspector(searcher, open_trunk(package)),
            subject,
            open_source(config.data, config.preprocessing),
            split,
            options.out / "model",
        )
    finally:
        searcher.close()
    baselines, missing = baseline_results(config, options.out, all_baselines().all, options.limit)
    table = Table("figures")
    table.add(manifest.name, report_cells(report))
    for name, found in baselines.items():
        table.add(f"no model: {name}", report_cells(found.report, found.training_seconds))
    notes = {"test": limit_note(options.limit), **({"left out": "; ".join(missing)} if missing else {})}
    print(write_tables(options.out, f"Detection by {manifest.name}", notes, [table]))
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))
