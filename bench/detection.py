"""Detection quality and time of a model package on the test images of its training's split, with the station's backend.

python bench/detection.py PACKAGE RUN OUT [--data DIR] [--limit N]

Beside the model stand baselines without one, on the same images: a model that does not beat them has not earned its
place. OUT gets the model's evaluation, one of each baseline, and the table of all.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from protocols.commands import ALL, baseline_results, report_cells
from protocols.tables import Table, write_tables

from latentline.backends.openvino.searcher import OpenVinoSearcher
from latentline.errors import run_command
from latentline.package.model_package import load_package
from trainer.checkpoint import load_checkpoint
from trainer.data.sources import open_source
from trainer.evaluation.accumulator import Subject
from trainer.evaluation.evaluate import evaluate, limited


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package", type=Path)
    parser.add_argument("run", type=Path, help="run folder of the training: which images it must not be tested on")
    parser.add_argument("out", type=Path, help="folder for reports and pictures")
    parser.add_argument("--data", type=Path, help="data root, if it moved")
    parser.add_argument("--limit", type=int, help="at most so many images of each kind, seeded")
    options = parser.parse_args()
    checkpoint, package = load_checkpoint(options.run), load_package(options.package)
    config = checkpoint.config
    if options.data is not None:
        config = config.model_copy(update={"data": config.data.model_copy(update={"root": options.data.resolve()})})
    parts = limited(checkpoint.split, options.limit, config.schedule.seed)
    searcher = OpenVinoSearcher(package)
    manifest = package.manifest
    subject = Subject(manifest.name, manifest.method, searcher.name, manifest.search.iterations)
    try:
        report = evaluate(package.inspector(searcher), subject, open_source(config.data), parts, options.out / "model")
    finally:
        searcher.close()
    baselines, missing = baseline_results(config, options.out, ALL, options.limit)
    table = Table("figures")
    table.add(manifest.name, report_cells(report))
    for name, (found, _) in baselines.items():
        table.add(f"no model: {name}", report_cells(found))
    limit = "all test images" if options.limit is None else f"at most {options.limit} test images of each kind, seeded"
    notes = {"test": limit, **({"left out": "; ".join(missing)} if missing else {})}
    print(write_tables(options.out, f"Detection by {manifest.name}", notes, [table]))
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))
