"""What the maps of a reconstruction detect alone, and what D's verdict detects alone."""

from __future__ import annotations

from pathlib import Path

from tqdm import tqdm

from bench.detection.reconstruction.variants import SearchVariant
from latentline.inspection.host_reconstructor import HostReconstructor
from latentline.inspection.inspector import Inspector
from latentline.scoring.calibration import FALSE_ALARM_RATE
from latentline.scoring.components import tile_components
from latentline.search.searcher import Searcher, SearchResult, UInt8
from latentline.search.tiler import FrameTiler
from trainer.checkpoint import Checkpoint
from trainer.config import TrainConfig
from trainer.data.held_out import read_held_out
from trainer.data.loading import read_each
from trainer.data.source import ImageSource
from trainer.data.split import Split
from trainer.evaluation.accumulator import Subject
from trainer.evaluation.calibrate_held_out import calibrate_held_out
from trainer.evaluation.choose_map import with_chosen_map
from trainer.evaluation.evaluate import evaluate
from trainer.evaluation.evaluate_checkpoint import frames_ahead
from trainer.evaluation.figures import ImageFigures
from trainer.evaluation.intervals import Estimate
from trainer.evaluation.report import GOOD, EvaluationReport, ImageScore
from trainer.reference.searcher import ReferenceSearcher
from trainer.settings.search import MapSetting


class MapsOnlySearcher:
    """A searcher that gives z and reconstruction of another one, and none of the numbers that come from D.

    A VAE's likelihood of each pixel stays: map `probability` is made of it.
    """

    def __init__(self, searcher: Searcher) -> None:
        self.name = searcher.name
        self._searcher = searcher

    def search(self, tiles: UInt8) -> SearchResult:
        """As `Searcher.search`."""
        found = self._searcher.search(tiles)
        return SearchResult(
            z=found.z, reconstruction=found.reconstruction, negative_log_likelihood=found.negative_log_likelihood
        )

    def close(self) -> None:
        """Release the other searcher."""
        self._searcher.close()


def evaluate_maps(
    checkpoint: Checkpoint, variant: SearchVariant, kind: MapSetting, source: ImageSource, split: Split, out: Path
) -> EvaluationReport:
    """Calibrate and evaluate as the product does, with maps of one kind and nothing else; write it all into `out`.

    split  with the images that calibrate and those that are tested. Raises DatasetError and CheckpointError.
    """
    config = _scored_by_maps(checkpoint.config, kind)
    searcher = MapsOnlySearcher(variant.open(checkpoint))
    tiler = _tiler(config)
    held_out = read_held_out(source, split, config.schedule.seed)
    config, map_choice = with_chosen_map(config, searcher, variant.iterations, tiler, held_out)
    calibrated = calibrate_held_out(searcher, tiler, config, held_out, FALSE_ALARM_RATE)
    ahead = frames_ahead(tiler, held_out.scored[0])
    reconstructor = HostReconstructor(searcher, tiler, calibrated.statistics, ahead)
    name = f"{config.name}, maps alone"
    subject = Subject(name, config.method.kind, searcher.name, variant.iterations, map_choice=map_choice)
    return evaluate(Inspector(reconstructor, calibrated.calibration), subject, source, split, out)


def verdict_alone(checkpoint: Checkpoint, source: ImageSource, split: Split) -> Estimate | None:
    """Image AUROC of D's verdict on the test images; None without a D, or without normal test images."""
    if checkpoint.discriminator is None or not split.test_good:
        return None
    config, groups = checkpoint.config, source.groups()
    # the verdict is on the frame, whatever the search finds, so no step is taken
    searcher = ReferenceSearcher(checkpoint, config.search, 0)
    images: dict[str, ImageScore] = {}
    kinds = {GOOD: split.test_good, **split.test_abnormal}
    with tqdm(total=sum(map(len, kinds.values())), unit="img", desc="verdict alone", delay=2) as bar:
        for kind, names in kinds.items():
            read = list[str]()
            frames = (_noted(name, frame, read) for name, frame in read_each(source, names, []))
            for index, (_, searched) in enumerate(_tiler(config).search_each(searcher, frames)):
                score, group = float(tile_components(searched.result)["d_frame"].max()), groups.get(read[index])
                images[read[index]] = ImageScore(kind=kind, group=group or read[index], content="", score=score)
                bar.update()
    figures = ImageFigures.of(images)
    return figures.auroc(figures.scores)


def _noted(name: str, frame: UInt8, read: list[str]) -> UInt8:
    read.append(name)
    return frame


def _tiler(config: TrainConfig) -> FrameTiler:
    return FrameTiler(config.preprocessing, config.network.resolution, config.search.overlap)


def _scored_by_maps(config: TrainConfig, kind: MapSetting) -> TrainConfig:
    """The configuration by which maps are calibrated."""
    search = config.search.model_copy(update={"map": kind, "score": "calibrated"})
    return config.model_copy(update={"search": search})
