"""`latentline-export package`: export a checkpoint, calibrate the model on held-out images, write the package."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from export.package import ModelCard, export_model, write_model_package
from export.trained_images import trained_images
from export.trunk import export_trunk, packaged_trunk
from latentline.backends.openvino.searcher import OpenVinoSearcher
from latentline.backends.openvino.trunk import OpenVinoTrunk
from latentline.base.version import software_version
from latentline.package.destination import check_destination, warn_of_name
from latentline.package.frame_sizes import sizes_of
from latentline.package.manifest import SearchSettings
from latentline.package.model_package import SearchModel
from latentline.scoring.calibrate import Calibrated
from latentline.scoring.calibration import FALSE_ALARM_RATE
from latentline.scoring.thresholds import Tail
from latentline.search.tiler import FrameTiler
from trainer.checkpoint import Checkpoint, load_checkpoint, search_iterations, with_searched_tiles
from trainer.coverage import CoverageMeter
from trainer.data.held_out import read_held_out
from trainer.data.sources import open_source
from trainer.evaluation.calibrate_held_out import check_enough
from trainer.evaluation.copies import seen_images
from trainer.evaluation.kept_calibration import CalibrationTask
from trainer.evaluation.kept_promise import log_promise
from trainer.evaluation.other_images import warn_of_other_images
from trainer.settings.search import Iterations, Tiles, TilesSetting
from trainer.trunk.fit import fit_trunk


def package_checkpoint(
    path: Path,
    out: Path,
    data: Path | None = None,
    false_alarm_rate: float = FALSE_ALARM_RATE,
    iterations: Iterations | None = None,
    name: str | None = None,
    threads: int | None = None,
    fresh: bool = False,
    tail: Tail = "exact",
    tiles: TilesSetting | None = None,
) -> Calibrated:
    """Write the package of the checkpoint `path` to `out`, a folder or .zip; give its calibration.

    data, iterations, name, tiles  replace the checkpoint's data root, search iterations, name and searched tiles
    false_alarm_rate        that the threshold promises
    threads                 of the CPU; None: all cores
    fresh                   measure anew what an earlier evaluation or export has kept in the run folder
    tail                    what the threshold assumes of the largest scores
    Raises CheckpointError, ConfigError and DatasetError, PackageError when `out` is something else or cannot be
    written, and BackendError when a trunk's weights are missing.
    """
    check_destination(out)
    warn_of_name(out)
    checkpoint = with_searched_tiles(load_checkpoint(path), tiles)
    config = checkpoint.config
    wanted = search_iterations(path, checkpoint, iterations)
    source = open_source(config.data, config.preprocessing, data)
    warn_of_other_images(source, checkpoint)
    held_out = read_held_out(source, checkpoint.split, config.schedule.seed)
    check_enough(held_out, false_alarm_rate, tail)
    seen_images(checkpoint, held_out)
    trunk = export_trunk(config.trunk) if config.trunk.wanted and config.search.score == "calibrated" else None
    model = export_model(
        checkpoint.generator,
        checkpoint.discriminator,
        checkpoint.encoder,
        search_settings(checkpoint, config.fallback_iterations),
        config.verdict_flips,
    )
    opened = OpenVinoSearcher(model, threads)
    extractor = None if trunk is None else OpenVinoTrunk(trunk, threads)
    try:
        size, cut = config.network.resolution, config.search
        tiler = FrameTiler(config.preprocessing, size, cut.overlap, cut.most_tiles)
        fitted = None
        if trunk is not None and extractor is not None:
            fitted = fit_trunk(extractor, trunk.network, source, checkpoint.split, config.schedule.seed)
        task = CalibrationTask(path, config, held_out, wanted, false_alarm_rate, fresh, tail, fitted)
        measured = task.run(opened.with_iterations, tiler)
        config, search, calibrated = measured.config, measured.search, measured.calibrated
        searcher = opened.with_iterations(search.iterations)
        if calibrated.calibration.promise is not None:
            log_promise(calibrated.calibration.promise, config)
        coverage = CoverageMeter(source, checkpoint.split, config).measure_search(searcher, search.iterations)
    finally:
        opened.close()
        if extractor is not None:
            extractor.close()
    card = ModelCard(
        name or config.name,
        config.method.kind,
        software_version(),
        config.preprocessing,
        config.search.overlap,
        coverage,
        search.choice,
        measured.map_choice,
        measured.look_misses,
        trained_images(source, checkpoint),
        sizes_of(frame.shape for frame in held_out.scored),
    )
    weighed = None if trunk is None or fitted is None else packaged_trunk(trunk, fitted, calibrated.map_scales)
    chosen = _searching(model, search.iterations, config.search.chosen_tiles)
    write_model_package(out, chosen, card, calibrated, weighed)
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
        tiles=search.most_tiles or "all",
    )


def _searching(model: SearchModel, iterations: int, tiles: Tiles) -> SearchModel:
    """The same graphs and self-test, which know neither, with a search of this length of so many tiles."""
    search = model.spec.search.model_copy(update={"iterations": iterations, "tiles": tiles})
    return replace(model, spec=model.spec.model_copy(update={"search": search}))
