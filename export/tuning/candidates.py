"""The settings that `tune` compares, and a package at one of them."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import product
from typing import Literal

from latentline.package.manifest import Manifest
from latentline.package.model_package import ModelPackage
from latentline.scoring.calibrate import Calibrated
from latentline.scoring.components import LOOK
from latentline.scoring.tuning import Start, TunedSetting
from trainer.evaluation.choose_search import FROM_ENCODER, FROM_RANDOM

OVERLAPS = (0.0, 0.25, 0.5)
TILES = (4, 16)


def candidates(manifest: Manifest) -> list[TunedSetting]:
    """The settings of a package, its own among them: short searches and few tiles first.

    A start at the constant latent is one more where the package has an encoder; a few searched tiles are where it can
    look first. Without a search there are overlaps and tiles alone.
    """
    own = manifest.search
    searches: set[tuple[int, Start]] = {(own.iterations, own.init)}
    if manifest.has_search_step:
        searches |= {(n, "random") for n in FROM_RANDOM}
    if manifest.has_search_step and own.init == "encoder":
        searches |= {(n, "encoder") for n in FROM_ENCODER}
    overlaps = {*OVERLAPS, manifest.overlap}
    tiles: set[int | Literal["all"]] = {"all", own.tiles}
    if manifest.looks_first:
        tiles |= set(TILES)
    return [
        TunedSetting(overlap=overlap, iterations=n, init=init, tiles=some)
        for (n, init), overlap, some in product(sorted(searches), sorted(overlaps), sorted(tiles, key=_number))
    ]


def _number(tiles: int | Literal["all"]) -> float:
    return math.inf if tiles == "all" else tiles


def package_at(package: ModelPackage, setting: TunedSetting, calibrated: Calibrated | None = None) -> ModelPackage:
    """The package with this setting.

    calibrated  the score of the setting; None: the package's own, which is of another setting, and good to time it
    """
    searched = {"iterations": setting.iterations, "init": setting.init, "tiles": setting.tiles}
    search = package.manifest.search.model_copy(update=searched)
    changes = {"search": search, "overlap": setting.overlap}
    statistics, trunk = package.statistics, package.trunk
    if setting.tiles == "all":
        own = package.manifest.calibration
        changes["calibration"] = own.among({component.name for component in own.components} - {LOOK})
    if calibrated is not None:
        changes["calibration"], statistics = calibrated.calibration, calibrated.statistics
        trunk = None if trunk is None else trunk.only(calibrated.map_scales)
    manifest = package.manifest.model_copy(update=changes)
    return replace(package, spec=manifest, manifest=manifest, statistics=statistics, trunk=trunk)
