"""Open model packages: a new one beside the running one, and the right one when the station starts."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np

from edge_runtime.commands.model_switch import LoadedPackage
from edge_runtime.commands.overrides import Overrides
from edge_runtime.commands.request import CommandError
from edge_runtime.commands.trust import Trust
from edge_runtime.frames.frame_inspector import FrameInspector
from latentline.backends.settings import Backend, GpuSettings
from latentline.base.counted import counted
from latentline.errors import ImageError, LatentlineError

if TYPE_CHECKING:
    from latentline.package.model_package import ModelPackage

Inspector = TypeVar("Inspector", bound=FrameInspector)


_PROBE_STEPS = 9  # of a search that is timed before the whole search is tried
_PROBE_TILES = 16


def load_for_switch(
    path: Path,
    backend: Backend,
    gpu: GpuSettings,
    budget: float = math.inf,
    frame: tuple[int, ...] = (),
    trust: Trust | None = None,
) -> LoadedPackage:
    """Load and check a package. Raises PackageError, and what opening it raises.

    budget   seconds that the search of a frame may take; a model that would take longer is refused with CommandError,
             judged by a few of its steps
    frame    shape of the station's largest frame; (): there was none yet, so the budget is for one tile
    backend  of the running model. "openvino" opens the model here and runs its self-test. "tensorrt" only reads the
             files; `LoadedPackage.open` then builds the engines that are not in the cache, which takes minutes
    trust    admits the package, and notes that it is used; None: any package
    """
    from latentline.model import Model  # needs the inference runtime
    from latentline.package.model_package import load_package

    package = load_package(path, None if trust is None else trust.admit)
    accept = partial(trust.use, package.signature) if trust is not None else lambda: None
    if backend == "openvino" and package.spec.search.iterations > _PROBE_STEPS:
        _check_budget(package, budget, _tiles(package, frame))
    if backend != "openvino":
        return LoadedPackage(package.model_hash, lambda: Model(package, backend, gpu), accept)
    opened = Model(package, backend)
    return LoadedPackage(package.model_hash, lambda: opened, accept)


def _tiles(package: ModelPackage, frame: tuple[int, ...]) -> int:
    """How many tiles this package makes of a frame."""
    try:
        return package.count_tiles(np.zeros(frame, np.uint8)) if frame else 1
    except ImageError:  # of no use to this model; another camera's may be
        return 1


def _check_budget(package: ModelPackage, budget: float, tiles: int) -> None:
    """Time a search with few steps, on one thread. Raises CommandError when all steps for a frame exceed `budget`."""
    iterations, cores = package.spec.search.iterations, min(tiles, os.cpu_count() or 1)
    expected = 0.0
    for together in (1, min(tiles, _PROBE_TILES)):  # together they are faster
        short, long = (_seconds(package, steps, together) for steps in (1, _PROBE_STEPS))
        searched = short + (iterations - 1) * max(0.0, long - short) / (_PROBE_STEPS - 1)
        expected = searched / together * tiles / cores
        if expected <= budget:
            return
    what = "one tile" if tiles == 1 else f"a frame of {tiles} tiles"
    raise CommandError(
        f"its search of {counted(iterations, 'step')} would take {expected:.0f} s for {what} here, more than the "
        f"{budget:g} s of supervision.inspector_seconds"
    )


def _seconds(package: ModelPackage, steps: int, tiles: int) -> float:
    """The shorter of two searches of some tiles of noise."""
    from latentline.backends.openvino.searcher import OpenVinoSearcher

    spec = package.spec
    searched = spec.model_copy(update={"search": spec.search.model_copy(update={"iterations": steps})})
    size = (tiles, spec.tile_size, spec.tile_size, spec.channels)
    noise = np.random.default_rng(0).integers(0, 256, size, np.uint8)
    searcher = OpenVinoSearcher(replace(package, spec=searched), threads=1)
    try:
        times = []
        for _ in range(2):
            start = time.perf_counter()
            searcher.search(noise)
            times.append(time.perf_counter() - start)
        return min(times)
    finally:
        searcher.close()


@dataclass(frozen=True)
class FirstModel(Generic[Inspector]):
    """The model that a station starts with. fault: why it is not the one that a command had switched to, or None."""

    inspector: Inspector
    fault: str | None = None


def open_first_model(
    open_model: Callable[[Path], Inspector], configured: Path, folder: Path | None, overrides: Overrides
) -> FirstModel[Inspector]:
    """Open the model that a command had switched to, else `configured`, the YAML's. Raises what `open_model` raises.

    folder  of the packages, `commands.models`; None: use the YAML's model
    """
    override = overrides.model
    if override is None or folder is None:
        return FirstModel(open_model(configured))
    try:
        inspector = open_model(folder / override.name)
        found = inspector.identity.sha256
        if found == override.sha256:
            return FirstModel(inspector)
        inspector.close()
        reason = f"its sha256 is {found[:12]}…, it was {override.sha256[:12]}…"
    except LatentlineError as error:
        reason = str(error)
    fault = (
        f"a command had switched to model {override.name}, which cannot be used ({reason}); "
        f"the station uses {configured} instead"
    )
    return FirstModel(open_model(configured), fault)
