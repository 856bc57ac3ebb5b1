"""One training and everything that is measured of its reconstructions, in a folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter

from pydantic import ValidationError

from bench.detection.reconstruction.contrast import ContrastTiles
from bench.detection.reconstruction.maps_alone import evaluate_maps, verdict_alone
from bench.detection.reconstruction.measurement import ModelMeasurement, SearchMeasurement
from bench.detection.reconstruction.samples import SampleSpread, draw_samples, save_beside_real, spread
from bench.detection.reconstruction.variants import SearchVariant
from latentline.base.atomic import write_text
from latentline.errors import DatasetError
from latentline.search.searcher import Searcher, UInt8
from latentline.search.tiler import TILES_TOGETHER
from trainer.checkpoint import Checkpoint, load_checkpoint, read_state
from trainer.config import TrainConfig
from trainer.coverage import CoverageMeter
from trainer.data.source import ImageSource
from trainer.data.sources import open_source
from trainer.data.split import Split
from trainer.evaluation.evaluate import limited
from trainer.run.config_differences import check_same_config
from trainer.run.fit import fit
from trainer.run.opening import with_resumed_scale
from trainer.settings.search import MapSetting

TIMINGS = 3


@dataclass(frozen=True)
class CoverageJob:
    """`FolderJob`: one training and its measurement.

    folder      the run folder; `place` in it gets coverage.json, samples.png and an evaluation of each kind of map
    method      the file of configs/train/methods
    limit       most test images of each kind, drawn by seed; None: all
    conditions  date, machine, versions and command, kept with the measurement
    device      where it trains: auto, cpu, cuda or cuda:n
    """

    folder: Path
    dataset: str
    method: str
    config: TrainConfig
    variants: tuple[SearchVariant, ...]
    maps: tuple[MapSetting, ...]
    limit: int | None
    conditions: dict[str, str]
    device: str = "auto"

    @property
    def place(self) -> Path:
        """Folder of the measurement, one for each limit."""
        return self.folder / ("coverage" if self.limit is None else f"coverage-{self.limit}")

    @property
    def finished(self) -> bool:
        """Whether every search and every kind of map is measured."""
        return self._path.is_file() and not self._missing(self.measurement().searches)

    def measurement(self) -> ModelMeasurement:
        """The measurement of a finished job. Raises DatasetError when another version wrote it."""
        try:
            return ModelMeasurement.model_validate_json(self._path.read_bytes())
        except ValidationError:
            raise DatasetError(f"{self._path}: not a measurement of this version; delete it to measure again") from None

    def finish(self) -> None:
        """Train and measure, unless that is done. Raises ConfigError when the folder holds another training."""
        if self.finished:
            check_same_config(self.folder, with_resumed_scale(self.config, self.folder / "checkpoint"), data_moved=True)
            return
        fit(self.config, self.folder, resume=True, device=self.device)
        write_text(self._path, self._measure().model_dump_json(indent=1))

    @property
    def _path(self) -> Path:
        return self.place / "coverage.json"

    def _missing(self, searches: Mapping[str, SearchMeasurement]) -> list[SearchVariant]:
        """The searches that are not measured, or without some of the maps."""
        done = {name for name, search in searches.items() if set(self.maps) <= search.maps.keys()}
        return [variant for variant in self.variants if variant.name not in done]

    def _measure(self) -> ModelMeasurement:
        before = self.measurement().searches if self._path.is_file() else {}
        self.place.mkdir(exist_ok=True)
        checkpoint, source = load_checkpoint(self.folder), open_source(self.config.data, self.config.preprocessing)
        # the split of the data, not of the training: where a method is shown nothing abnormal, its own one differs
        split = limited(source.split(self.config.schedule.seed), self.limit, self.config.schedule.seed)
        meter = CoverageMeter(source, split, self.config)
        state = read_state(self.folder / "checkpoint")
        return ModelMeasurement(
            method=self.method,
            dataset=self.dataset,
            seed=self.config.schedule.seed,
            latent_size=self.config.network.latent_size,
            images_shown=checkpoint.images,
            minutes=float(state["run"]["seconds"]) / 60,
            limit=self.limit,
            verdict=verdict_alone(checkpoint, source, split),
            samples=self._spread(checkpoint, meter.tiles),
            searches={**before, **dict(self._searches(before, checkpoint, source, split, meter))},
            conditions=self.conditions,
        )

    def _searches(
        self,
        before: Mapping[str, SearchMeasurement],
        checkpoint: Checkpoint,
        source: ImageSource,
        split: Split,
        meter: CoverageMeter,
    ) -> Iterator[tuple[str, SearchMeasurement]]:
        """What is missing in `before`, the searches that are measured; their maps stay."""
        tiles = ContrastTiles.cut(source, split, self.config)
        for variant in self._missing(before):
            searcher = variant.open(checkpoint)
            out = self.place / variant.name.replace(" ", "").replace("=", "-")
            maps = dict(before[variant.name].maps) if variant.name in before else {}
            for kind in self.maps:
                if kind not in maps:
                    maps[kind] = evaluate_maps(checkpoint, variant, kind, source, split, out / kind)
            yield (
                variant.name,
                SearchMeasurement(
                    coverage=meter.measure_search(searcher, variant.iterations),
                    contrast=tiles.measure(searcher),
                    milliseconds_a_tile=milliseconds_a_tile(searcher, meter.tiles[:TILES_TOGETHER]),
                    maps=maps,
                ),
            )

    def _spread(self, checkpoint: Checkpoint, tiles: UInt8) -> SampleSpread | None:
        samples = draw_samples(checkpoint)
        if samples is None:
            return None
        save_beside_real(self.place / "samples.png", samples, tiles)
        return spread(samples, tiles)


def milliseconds_a_tile(searcher: Searcher, tiles: UInt8) -> float:
    """The median of a few searches of the same batch, after one that is not counted."""
    seconds = []
    for _ in range(1 + TIMINGS):
        start = perf_counter()
        searcher.search(tiles)
        seconds.append(perf_counter() - start)
    return 1e3 * median(seconds[1:]) / len(tiles)
