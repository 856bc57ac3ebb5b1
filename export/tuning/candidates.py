"""The settings that `tune` compares, and a package at one of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

from latentline.package.manifest import Manifest
from latentline.package.model_package import ModelPackage
from latentline.scoring.calibrate import Calibrated
from latentline.scoring.tuning import Start, TunedSetting
from trainer.evaluation.choose_search import FROM_ENCODER, FROM_RANDOM

OVERLAPS = (0.0, 0.25, 0.5)


def candidates(manifest: Manifest) -> list[TunedSetting]:
    """The settings of a package, its own among them: short searches and few tiles first.

    A start at the constant latent is one more where the package has an encoder; without a search there are overlaps
    alone.
    """
    own = manifest.search
    searches: set[tuple[int, Start]] = {(own.iterations, own.init)}
    if manifest.has_search_step:
        searches |= {(n, "random") for n in FROM_RANDOM}
    if manifest.has_search_step and own.init == "encoder":
        searches |= {(n, "encoder") for n in FROM_ENCODER}
    overlaps = {*OVERLAPS, manifest.overlap}
    return [
        TunedSetting(overlap=overlap, iterations=n, init=init)
        for (n, init), overlap in product(sorted(searches), sorted(overlaps))
    ]


def costs_no_less(setting: TunedSetting, others: Sequence[TunedSetting]) -> bool:
    """Whether `setting` has the tiles and steps of one of the others, or more."""
    return any(
        setting.overlap >= other.overlap and setting.iterations >= other.iterations and setting.init == other.init
        for other in others
    )


def package_at(package: ModelPackage, setting: TunedSetting, calibrated: Calibrated | None = None) -> ModelPackage:
    """The package with this setting.

    calibrated  the score of the setting; None: the package's own, which is of another setting, and good to time it
    """
    search = package.manifest.search.model_copy(update={"iterations": setting.iterations, "init": setting.init})
    changes = {"search": search, "overlap": setting.overlap}
    statistics, trunk = package.statistics, package.trunk
    if calibrated is not None:
        changes["calibration"], statistics = calibrated.calibration, calibrated.statistics
        trunk = None if trunk is None else trunk.only(calibrated.map_scales)
    manifest = package.manifest.model_copy(update=changes)
    return replace(package, spec=manifest, manifest=manifest, statistics=statistics, trunk=trunk)
