"""Evaluation as a station would judge: the run's package, calibrated on its held-out images, on the CPU backend."""

from __future__ import annotations

from pathlib import Path

from edge_runtime.model_package import load_package
from edge_runtime.search.openvino_cpu import CpuSearcher
from export.from_checkpoint import package_checkpoint
from trainer.checkpoint import load_checkpoint
from trainer.data.sources import open_source
from trainer.evaluate import evaluate, limited
from trainer.report import Report
from trainer.tally import Subject


def evaluate_on_station(run: Path, out: Path, limit: int | None = None) -> Report:
    """Write run/package, then an evaluation of it into `out`. Raises LatentlineError."""
    package_checkpoint(run, run / "package", threads=1)
    checkpoint, package = load_checkpoint(run), load_package(run / "package")
    source = open_source(checkpoint.config.data)
    parts = limited(checkpoint.split, limit, checkpoint.config.schedule.seed)
    searcher = CpuSearcher(package, threads=1)
    iterations = package.manifest.search.iterations
    subject = Subject(package.manifest.name, checkpoint.config.method.kind, searcher.name, iterations)
    try:
        return evaluate(package.inspector(searcher), subject, source, parts, out)
    finally:
        searcher.close()
