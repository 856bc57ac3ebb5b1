"""Evaluation with a station's means: the run's package, calibrated on its held-out images, on the CPU backend."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from export.from_checkpoint import package_checkpoint
from latentline.backends.openvino.searcher import OpenVinoSearcher
from latentline.backends.openvino.trunk import open_trunk
from latentline.inspection.host_reconstructor import HostReconstructor
from latentline.inspection.inspector import Inspector
from latentline.package.model_package import ModelPackage, load_package
from latentline.scoring.calibrate import calibrate
from trainer.checkpoint import Checkpoint, load_checkpoint
from trainer.data.held_out import read_held_out
from trainer.data.sources import open_source
from trainer.evaluation.accumulator import Subject
from trainer.evaluation.evaluate import evaluate, limited
from trainer.evaluation.report import EvaluationReport

PACKAGE = "package"


def evaluate_on_station(run: Path, out: Path, limit: int | None = None, threads: int | None = 1) -> EvaluationReport:
    """Export RUN/package and write its evaluation into `out`. Raises LatentlineError.

    threads  of the CPU; None: all of them
    """
    package_checkpoint(run, run / PACKAGE, threads=threads)
    return _evaluate(run, out, limit, None, threads)


def evaluate_with_weights(run: Path, lender: Path, out: Path, limit: int | None = None) -> EvaluationReport:
    """Evaluate the package of `run` with the component weights of the package of `lender`. Raises LatentlineError.

    Everything else that calibration fixes comes from `run`, so the scores of the two runs differ in the model alone.
    """
    lent = load_package(lender / PACKAGE).manifest.calibration.components
    return _evaluate(run, out, limit, {component.name: component.weight for component in lent})


def _evaluate(
    run: Path, out: Path, limit: int | None, weights: Mapping[str, float] | None, threads: int | None = 1
) -> EvaluationReport:
    checkpoint, package = load_checkpoint(run), load_package(run / PACKAGE)
    config = checkpoint.config
    split = limited(checkpoint.split, limit, config.schedule.seed)
    searcher, trunk = OpenVinoSearcher(package, threads=threads), open_trunk(package, threads)
    try:
        inspector = package.inspector(searcher, trunk)
        if weights is not None:
            inspector = _inspector_with_weights(checkpoint, package, searcher, weights)
        search, choice, method = package.manifest.search, package.manifest.search_choice, config.method.kind
        subject = Subject(config.name, method, searcher.name, search.iterations, choice=choice, tiles=search.most_tiles)
        return evaluate(inspector, subject, open_source(config.data, config.preprocessing), split, out)
    finally:
        searcher.close()


def _inspector_with_weights(
    checkpoint: Checkpoint, package: ModelPackage, searcher: OpenVinoSearcher, weights: Mapping[str, float]
) -> Inspector:
    config, rate = checkpoint.config, package.manifest.calibration.false_alarm_rate
    frames = read_held_out(open_source(config.data, config.preprocessing), checkpoint.split, config.schedule.seed)
    found = calibrate(
        searcher, package.tiler, frames.standardising, frames.scored, rate, map=package.manifest.map, weights=weights
    )
    return Inspector(HostReconstructor(searcher, package.tiler, found.statistics), found.calibration)
