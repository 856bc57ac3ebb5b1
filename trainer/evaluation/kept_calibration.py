"""One calibration for `evaluate` and `latentline-export package`: who comes second reads what the first has measured.

The folder `calibration` of a run keeps the kind of map, the search, and the score: means, standard deviations, weights
and pixel statistics. These are choices, made on frames that no promise rests on, and as good for any searcher whose
results agree to rounding. The thresholds are a promise about the scores of one searcher, so another one (PyTorch in
`evaluate`, OpenVINO in a package) or another rate scores the frames behind them anew.

calibration.json   the key of what it was measured on, choices and calibration
calibration.npz    pixel statistics and normal scores, as in a package
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from pydantic import Field, ValidationError

from latentline.base.atomic import new_folder
from latentline.base.strict_yaml import StrictModel
from latentline.base.version import software_version
from latentline.errors import PackageError
from latentline.package.calibration_file import calibration_to_bytes, read_calibration
from latentline.scoring.calibrate import Calibrated
from latentline.scoring.calibration import Calibration
from latentline.scoring.frame_maps import MapScales
from latentline.scoring.look_misses import LookMisses
from latentline.scoring.map_choice import MapChoice
from latentline.scoring.search_choice import SearchChoice
from latentline.scoring.thresholds import Tail
from latentline.search.searched_frame import MapKind
from latentline.search.searcher import Searcher
from latentline.search.tiler import FrameTiler
from trainer.config import TrainConfig
from trainer.data.held_out import HeldOut
from trainer.evaluation.calibrate_held_out import calibrate_held_out, rescore_held_out, say_search_cost
from trainer.evaluation.choose_map import with_chosen_map
from trainer.evaluation.choose_search import ChosenSearch, chosen_search
from trainer.evaluation.choose_tiles import with_chosen_tiles
from trainer.evaluation.count_look_misses import count_look_misses, say_look_misses
from trainer.settings.search import Iterations, Tiles
from trainer.trunk.fit import FittedTrunk

BASIS = "a first look at whole frames, in the score"  # another one whenever the same inputs give other numbers
FOLDER, TEXT, ARRAYS = "calibration", "calibration.json", "calibration.npz"
log = logging.getLogger(__name__)


class _Kept(StrictModel):
    """calibration.json, and what `read_calibration` needs to know of the model."""

    key: str
    searcher: str
    iterations: int
    map: MapKind
    tiles: Tiles
    channels: int
    tile_size: int
    patch_shape: tuple[int, int] | None
    search_choice: SearchChoice | None
    map_choice: MapChoice | None
    calibration: Calibration
    look_misses: LookMisses | None = None
    map_scales: dict[str, tuple[float, float]] = Field(default_factory=dict)


@dataclass(frozen=True)
class Measured:
    """What was chosen and calibrated; `config` has the kind of map and the searched tiles.

    look_misses  None where all tiles are searched
    """

    config: TrainConfig
    search: ChosenSearch
    map_choice: MapChoice | None
    calibrated: Calibrated
    look_misses: LookMisses | None = None

    def tiler(self, tiler: FrameTiler) -> FrameTiler:
        """The tiler with as many tiles as were chosen."""
        return replace(tiler, most=self.config.search.most_tiles)


@dataclass(frozen=True)
class CalibrationTask:
    """A checkpoint to calibrate.

    path        run folder or checkpoint folder
    wanted      iterations of the search, or auto
    fresh       measure everything, whatever is kept
    tail        what the thresholds assume
    trunk       fitted, beside the search; None: there is none
    """

    path: Path
    config: TrainConfig
    held_out: HeldOut
    wanted: Iterations
    false_alarm_rate: float
    fresh: bool = False
    tail: Tail = "exact"
    trunk: FittedTrunk | None = None

    @property
    def place(self) -> Path:
        """The folder that keeps the calibration."""
        return (self.path.parent if self.path.resolve().name == "checkpoint" else self.path) / FOLDER

    def run(self, open_searcher: Callable[[int], Searcher], tiler: FrameTiler) -> Measured:
        """Choose map and search and calibrate, or take what is kept; log which.

        open_searcher  gives a searcher with a number of iterations; the caller closes it
        tiler          of the configuration: of all tiles where `search.tiles` is `auto`
        Raises DatasetError when normal frames are too few, CheckpointError for a broken model.
        """
        key = self._key()
        found = None if self.fresh else _read(self.place, key, self.config)
        if found is not None:
            measured, kept = found
            searcher, tiler = open_searcher(measured.search.iterations), measured.tiler(tiler)
            log.info("%s: map, search and weights of an earlier calibration; --fresh measures again", self.place)
            promised = kept.calibration.promise
            asked = searcher.name, self.false_alarm_rate, self.tail
            if promised is not None and (kept.searcher, promised.rate, promised.tail) == asked:
                return measured
            rate, tail = self.false_alarm_rate, self.tail
            rescored = rescore_held_out(searcher, tiler, measured.calibrated, self.held_out, rate, tail, self.trunk)
            return replace(measured, calibrated=rescored)
        first = self.config.fallback_iterations if self.wanted == "auto" else self.wanted
        say_search_cost(open_searcher(first), tiler, self.config, self.held_out, first)
        config, map_choice = with_chosen_map(self.config, open_searcher(first), first, tiler, self.held_out)
        search = chosen_search(self.wanted, lambda c: open_searcher(c.iterations), tiler, config, self.held_out)
        searcher = open_searcher(search.iterations)
        beside = None if self.trunk is None else self.trunk.maps
        config = with_chosen_tiles(config, searcher, tiler, self.held_out, beside)
        tiler = replace(tiler, most=config.search.most_tiles)
        calibrated = calibrate_held_out(
            searcher, tiler, config, self.held_out, self.false_alarm_rate, self.tail, self.trunk
        )
        misses = count_look_misses(searcher, tiler, config, self.held_out)
        say_look_misses(misses)
        measured = Measured(config, search, map_choice, calibrated, misses)
        _write(self.place, key, searcher.name, measured)
        return measured

    def _key(self) -> str:
        """Changes with whatever the kept numbers depend on: code, weights, settings, and every held-out frame."""
        folder = self.path / "checkpoint" if (self.path / "checkpoint").is_dir() else self.path
        digest = hashlib.sha256((folder / "networks.safetensors").read_bytes())
        settings = self.config.model_dump_json(exclude={"name", "data"})
        parts = f"{self.held_out.parts} {self.held_out.scored_parts}"
        digest.update(f"{software_version()} {BASIS} {self.wanted} {settings} {parts}".encode())
        for frames in (self.held_out.standardising, self.held_out.scored, self.held_out.abnormal, self.held_out.masks):
            for frame in frames:
                digest.update(b"none" if frame is None else str(frame.shape).encode())
                digest.update(b"" if frame is None else np.ascontiguousarray(frame).tobytes())
            digest.update(b"|")
        return digest.hexdigest()


def _read(place: Path, key: str, config: TrainConfig) -> tuple[Measured, _Kept] | None:
    """What is kept under this key; None where there is none, or it cannot be read."""
    try:
        kept = _Kept.model_validate_json((place / TEXT).read_bytes())
        if kept.key != key:
            return None
        arrays = read_calibration((place / ARRAYS).read_bytes(), kept, str(place / ARRAYS))
    except (OSError, ValidationError, PackageError):
        return None
    statistics, scores, brightness = arrays
    if brightness is None:
        return None
    chosen = config.search.model_copy(update={"map": kept.map, "tiles": kept.tiles})
    config = config.model_copy(update={"search": chosen})
    calibrated = Calibrated(kept.calibration, statistics, scores, brightness, MapScales(kept.map_scales))
    search = ChosenSearch(kept.iterations, kept.search_choice)
    return Measured(config, search, kept.map_choice, calibrated, kept.look_misses), kept


def _write(place: Path, key: str, searcher: str, measured: Measured) -> None:
    """Keep it, whole or not at all; a run that cannot be written is none the worse."""
    calibrated, config = measured.calibrated, measured.config
    kept = _Kept(
        key=key,
        searcher=searcher,
        iterations=measured.search.iterations,
        map=config.search.map_kind,
        tiles=config.search.chosen_tiles,
        channels=config.preprocessing.channels,
        tile_size=config.network.resolution,
        patch_shape=None if calibrated.statistics.patch_statistics is None else (1, 1),
        search_choice=measured.search.choice,
        map_choice=measured.map_choice,
        calibration=calibrated.calibration,
        look_misses=measured.look_misses,
        map_scales=dict(calibrated.map_scales.scales),
    )
    content = calibration_to_bytes(calibrated.statistics, calibrated.normal_scores, calibrated.normal_brightness)
    try:
        with new_folder(place) as folder:
            (folder / TEXT).write_text(kept.model_dump_json(indent=2), encoding="utf-8")
            (folder / ARRAYS).write_bytes(content)
    except OSError as error:
        log.info("%s: the calibration is not kept (%s)", place, error.strerror or error)
