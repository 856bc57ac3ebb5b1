"""Compare the settings of a package on held-out images and on the clock, and write it with the best of them."""

from __future__ import annotations

import math
from pathlib import Path

from export.package import ModelCard, write_model_package
from export.tuning.candidates import candidates, package_at
from export.tuning.choice import TriedSetting, choose_setting
from export.tuning.data import read_tuning_data
from export.tuning.precision import check_precision, in_precision
from export.tuning.timing import timed_frames
from export.tuning.tuner import Tuner
from latentline.backends.openvino.searcher import usable_cores
from latentline.base.processor import processor
from latentline.base.version import software_version
from latentline.errors import ConfigError
from latentline.package.destination import check_destination, warn_of_name
from latentline.package.manifest import ModelSpec
from latentline.package.model_package import ENCODER, ModelPackage, SearchModel, load_package
from latentline.scoring.calibrate import Calibrated
from latentline.scoring.compared_frames import PAPER
from latentline.scoring.look_misses import LookMisses
from latentline.scoring.tuning import CpuPrecision, Device, Tuning, frame_in_words
from trainer.evaluation.calibrate_held_out import check_enough
from trainer.evaluation.judged_score import weighing_frames


def tune(
    path: Path,
    out: Path,
    data: Path,
    budget: float,
    *,
    root: Path | None = None,
    device: Device = "cpu",
    frame: tuple[int, int] | None = None,
    threads: int | None = None,
    precision: CpuPrecision | None = None,
) -> Tuning:
    """Write the package `path` to `out` with the best settings within `budget` ms a frame; give the evidence.

    data     run folder that the package was exported from, or its training file
    root     where the images are now; None: where the training found them
    device   that is timed; the score is calibrated on the CPU, as in `package`
    frame    width and height that are timed; None: the held-out images as they are
    threads  most CPU threads; None: all cores
    precision  of the networks on the CPU; None: the package's
    Raises ConfigError for a budget that no setting meets, PackageError, CheckpointError, DatasetError, BackendError
    where device or precision cannot be used, and VerificationError where bfloat16 moves scores too far.
    """
    package = load_package(path)
    package = in_precision(package, precision or package.manifest.cpu_precision)
    _check(package, path, out)
    given = read_tuning_data(data, root, package, path)
    held_out, own = given.held_out, package.manifest.calibration
    check_enough(held_out, own.false_alarm_rate, "exact" if own.promise is None else own.promise.tail)
    weighing = weighing_frames(held_out, given.config, package.tiler)
    region = package.manifest.preprocessing.region
    timed = timed_frames([*held_out.standardising, *held_out.scored], frame, region)
    tuner = Tuner(package, weighing, timed, device, threads or usable_cores(), budget)
    tried = tuner.try_settings(candidates(package.manifest))
    if all(one.milliseconds > budget for one in tried):
        raise ConfigError(_unmet(tried, budget, frame))
    labels = weighing.labels
    trials = choose_setting(tried, labels, budget, given.config.schedule.seed)
    chosen = next(trial.setting for trial in trials if trial.outcome == "chosen")
    judged = next(one.judged for one in tried if one.setting == chosen)
    assert judged is not None
    weighed = package_at(package, chosen, judged.calibrated)
    by_threads = {n: tuner.milliseconds([weighed], threads=n)[0] for n in _fewer(tuner.threads, device)}
    by_threads[tuner.threads] = next(trial.milliseconds for trial in trials if trial.setting == chosen)
    calibrated = tuner.calibrate(chosen, judged.calibrated)
    tuning = Tuning(
        normals=len(held_out.standardising),
        abnormals=len(held_out.abnormal),
        synthetic=len(weighing.made),
        budget=budget,
        device=device,
        machine=processor(),
        frame=frame,
        threads=min(n for n, milliseconds in by_threads.items() if milliseconds <= budget),
        milliseconds_by_threads=by_threads,
        precision=package.manifest.cpu_precision,
        trials=tuple(trials),
    )
    misses = tuner.look_misses(chosen, given.config)
    _write(out, package_at(package, chosen, calibrated), package, calibrated, misses, tuning)
    return tuning


def _check(package: ModelPackage, path: Path, out: Path) -> None:
    if out.resolve() == path.resolve():
        raise ConfigError(f"{out} is the package itself; write the tuned one to another place")
    check_destination(out)
    warn_of_name(out)
    if any(component.name == PAPER for component in package.manifest.calibration.components):
        raise ConfigError(f"{path} has the paper's score, which has no weights to tune; set search.score to calibrated")
    check_precision(package)


def _fewer(threads: int, device: Device) -> list[int]:
    """Smaller numbers of threads: 1, 2, 4 …"""
    return [2**i for i in range(math.ceil(math.log2(threads)))] if device == "cpu" else []


def _unmet(tried: list[TriedSetting], budget: float, frame: tuple[int, int] | None) -> str:
    fastest = min(tried, key=lambda one: one.milliseconds)
    return (
        f"no setting inspects {frame_in_words(frame)} in {budget:.3g} ms here: the fastest, {fastest.setting}, takes "
        f"{fastest.milliseconds:.3g} ms; give a larger --budget or a smaller --frame, or train at a smaller scale "
        "(preprocessing.height)"
    )


def _write(
    out: Path,
    tuned: ModelPackage,
    before: ModelPackage,
    calibrated: Calibrated,
    misses: LookMisses | None,
    tuning: Tuning,
) -> None:
    old, new = before.manifest, tuned.manifest
    same_search = (old.search.iterations, old.search.init) == (new.search.iterations, new.search.init)
    graphs = {name: graph for name, graph in tuned.graphs.items() if name != ENCODER or new.search.init == "encoder"}
    spec = ModelSpec(**{name: getattr(new, name) for name in ModelSpec.model_fields})
    card = ModelCard(
        old.name,
        old.method,
        software_version(),
        old.preprocessing,
        new.overlap,
        old.coverage if same_search else None,
        old.search_choice if same_search else None,
        old.map_choice,
        look_misses=misses,
        trained_images=old.trained_images,
        frame_sizes=old.frame_sizes,
        tuning=tuning,
        cpu_precision=new.cpu_precision,
    )
    write_model_package(out, SearchModel(spec, graphs, tuned.selftest), card, calibrated, tuned.trunk)
