"""The held-out images of the training that a package comes from: proved by the package itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from latentline.base.strict_yaml import load_yaml
from latentline.errors import DatasetError, PackageError
from latentline.package.model_package import ModelPackage
from latentline.vision.images import mean_grey
from trainer.checkpoint import read_config, read_state
from trainer.config import TrainConfig
from trainer.data.held_out import HeldOut, read_held_out
from trainer.data.source import ImageSource
from trainer.data.sources import open_source
from trainer.data.split import Split
from trainer.run.training_data import open_training_source


@dataclass(frozen=True)
class TuningData:
    """The training file of a package, and its held-out images."""

    config: TrainConfig
    held_out: HeldOut


def read_tuning_data(path: Path, root: Path | None, package: ModelPackage, named: Path) -> TuningData:
    """The held-out images of a run folder, a checkpoint folder or a training file. No other image is read.

    A run has the split that the training used; of a training file the split is made again.

    root   where the images are now; None: where the training found them
    named  the package, for messages
    Raises DatasetError for images that the package was not calibrated on, PackageError for one that cannot tell.
    """
    config, source, split = _opened(path, root, package)
    if config.method.kind != package.manifest.method:
        raise DatasetError(
            f"{path} is of method {config.method.kind}, and {named} of method {package.manifest.method}; give the run "
            "folder that the package was exported from"
        )
    held_out = read_held_out(source, split, config.schedule.seed)
    _check_same(held_out, package, path, named)
    return TuningData(config, held_out)


def _opened(path: Path, root: Path | None, package: ModelPackage) -> tuple[TrainConfig, ImageSource, Split]:
    given = package.manifest.preprocessing
    if path.is_dir():
        folder = path / "checkpoint" if (path / "checkpoint").is_dir() else path
        config, split = read_config(folder), Split.from_json(read_state(folder)["split"])
        return config, open_source(config.data, given, root), split
    config = load_yaml(path, TrainConfig)
    data = config.data if root is None else config.data.model_copy(update={"root": root.resolve()})
    preprocessing = config.preprocessing.model_copy(update={"bit_depth": given.bit_depth, "region": given.region})
    config = config.model_copy(update={"data": data, "preprocessing": preprocessing})
    return config, *open_training_source(config)


def _check_same(held_out: HeldOut, package: ModelPackage, path: Path, named: Path) -> None:
    """Compare grey levels and numbers of the held-out images with those that the package was calibrated on."""
    if package.normal_brightness is None:
        raise PackageError(
            f"{named}: an older version wrote it, and it does not tell which images it was calibrated on; export it "
            "again with `latentline-export package`"
        )
    given = np.array([mean_grey(frame) for frame in held_out.scored])
    known, validation = package.normal_brightness, package.manifest.calibration.validation
    abnormals = len(held_out.abnormal) if validation is None else validation.abnormals
    same = len(given) == len(known) and np.allclose(given, known, rtol=0, atol=1e-3)
    if not same or abnormals != len(held_out.abnormal):
        raise DatasetError(
            f"the images that {path} holds out ({len(given)} normal ones for the threshold, {len(held_out.abnormal)} "
            f"known-abnormal ones) are not those that {named} was calibrated on ({len(known)} and {abnormals}); give "
            "the run folder that it was exported from"
        )
