"""`latentline-export package`: export a checkpoint, calibrate the model on held-out images, write the package."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from export.package import ModelCard, export_model, write_model_package
from latentline.backends.openvino.searcher import OpenVinoSearcher
from latentline.base.version import software_version
from latentline.package.manifest import SearchSettings
from latentline.package.model_package import SearchModel
from latentline.scoring.calibrate import Calibrated
from latentline.scoring.calibration import FALSE_ALARM_RATE
from latentline.search.tiler import FrameTiler
from trainer.checkpoint import Checkpoint, load_checkpoint, search_iterations
from trainer.coverage import CoverageMeter
from trainer.data.held_out import read_held_out
from trainer.data.sources import open_source
from trainer.evaluation.calibrate_held_out import calibrate_held_out, check_enough, say_search_cost
from trainer.evaluation.choose_map import with_chosen_map
from trainer.evaluation.choose_search import chosen_search
from trainer.settings.search import Iterations


def package_checkpoint(
    path: Path,
    out: Path,
    data: Path | None = None,
    false_alarm_rate: float = FALSE_ALARM_RATE,
    iterations: Iterations | None = None,
    name: str | None = None,
    threads: int | None = None,
) -> Calibrated:
    """Write the package of the checkpoint `path` to `out`, a folder or .zip; give its calibration.

    data, iterations, name  replace the checkpoint's data root, search iterations and name
    false_alarm_rate        that the threshold promises
    threads                 of the CPU; None: all cores
    Raises CheckpointError, ConfigError and DatasetError.
    """
    checkpoint = load_checkpoint(path)
    config = checkpoint.config
    wanted = search_iterations(path, checkpoint, iterations)
    source = open_source(config.data, data)
    held_out = read_held_out(source, checkpoint.split, config.schedule.seed)
    check_enough(held_out, false_alarm_rate)
    model = export_model(
        checkpoint.generator,
        checkpoint.discriminator,
        checkpoint.encoder,
        search_settings(checkpoint, config.fallback_iterations),
        config.verdict_flips,
    )
    opened = OpenVinoSearcher(model, threads)
    try:
        tiler = FrameTiler(config.preprocessing, config.network.resolution, config.search.overlap)
        first = config.fallback_iterations if wanted == "auto" else wanted
        say_search_cost(opened.with_iterations(first), tiler, held_out, first)
        config, map_choice = with_chosen_map(config, opened.with_iterations(first), first, tiler, held_out)
        search = chosen_search(wanted, lambda c: opened.with_iterations(c.iterations), tiler, config, held_out)
        searcher = opened.with_iterations(search.iterations)
        calibrated = calibrate_held_out(searcher, tiler, config, held_out, false_alarm_rate)
        coverage = CoverageMeter(source, checkpoint.split, config).measure_search(searcher, search.iterations)
    finally:
        opened.close()
    card = ModelCard(
        name or config.name,
        config.method.kind,
        software_version(),
        config.preprocessing,
        config.search.overlap,
        coverage,
        search.choice,
        map_choice,
    )
    write_model_package(out, _with_iterations(model, search.iterations), card, calibrated)
    return calibrated


def search_settings(checkpoint: Checkpoint, iterations: int) -> SearchSettings:
    """The search settings of a package of this checkpoint, with this number of iterations."""
    search = checkpoint.config.search
    return SearchSettings(
        init="random" if checkpoint.encoder is None else "encoder",
        seed=search.seed,
        iterations=iterations,
        learning_rate=search.learning_rate,
        gamma=search.gamma,
        lam=search.lam,
        samples=search.samples,
    )


def _with_iterations(model: SearchModel, iterations: int) -> SearchModel:
    """The same graphs and self-test, which know nothing of iterations, with a search of this length."""
    search = model.spec.search.model_copy(update={"iterations": iterations})
    return replace(model, spec=model.spec.model_copy(update={"search": search}))
