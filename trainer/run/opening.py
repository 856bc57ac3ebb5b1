"""The first lines of `fit`: what was found, at what scale it is trained, and what an image will cost."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import torch

from latentline.base.counted import counted
from latentline.errors import ConfigError
from trainer.checkpoint import Checkpoint, read_config
from trainer.config import TrainConfig
from trainer.data.source import ImageSource
from trainer.data.split import Split
from trainer.networks.factory import build_networks
from trainer.reference.searcher import ReferenceSearcher
from trainer.run.survey import Survey, take_survey, tiler_of, with_height
from trainer.search_cost import measure_cost, say_cost

TIMED_ITERATIONS = 3  # of a longer search; what comes before and after one takes about as long as one
log = logging.getLogger(__name__)


def with_resumed_scale(config: TrainConfig, checkpoint: Path) -> TrainConfig:
    """The configuration with height and bit depth of the checkpoint that it continues, where it names none itself.

    Raises CheckpointError.
    """
    own = config.preprocessing
    if (own.height is not None and own.bit_depth != "auto") or not checkpoint.exists():
        return config
    before = read_config(checkpoint).preprocessing
    height = before.height if own.height is None else own.height
    bit_depth = before.bit_depth if own.bit_depth == "auto" else own.bit_depth
    changed = own.model_copy(update={"height": height, "bit_depth": bit_depth})
    return config.model_copy(update={"preprocessing": changed})


def open_run(config: TrainConfig, source: ImageSource, split: Split, resumed: bool) -> TrainConfig:
    """Say what was found and what an image will cost; give the configuration with the height that follows.

    resumed  the height is that of the checkpoint
    Raises ConfigError for a region of interest that is smaller than a tile.
    """
    found = take_survey(source, split, config.schedule.seed)
    if found is None:
        return config  # loading the images says why none can be read
    _say_found(found, split, config)
    _say_colour(found, config.preprocessing.channels)
    _say_masks(found, source, split)
    config = config if resumed else with_height(config, found)
    _check_region(config, found)
    tiler = tiler_of(config)
    iterations = config.unmeasured_iterations
    timed = min(iterations, TIMED_ITERATIONS)
    searcher = ReferenceSearcher(_untrained(config, split), config.search, timed)
    cost = measure_cost(searcher, tiler, found.frames)
    cost = replace(cost, seconds_per_tile=cost.seconds_per_tile * (iterations + 1) / (timed + 1))
    calibrated = len(split.held_out) + len(split.validation_abnormal)
    say_cost(cost, iterations, "these networks before their training, on the CPU", calibrated, trained=False)
    return config


def _check_region(config: TrainConfig, found: Survey) -> None:
    if config.preprocessing.region is None:
        return
    tile, sizes = config.network.resolution, [config.preprocessing.prepared_shape(frame) for frame in found.frames]
    height, width = min(sizes, key=lambda size: min(size[:2]))[:2]
    if min(height, width) < tile:
        raise ConfigError(
            f"preprocessing.region has {width} x {height} px at this scale, less than a tile of {tile} px; enlarge the "
            "region, or the scale (preprocessing.height), or lower network.resolution"
        )


def _say_found(found: Survey, split: Split, config: TrainConfig) -> None:
    what = "" if config.preprocessing.region is None else "a region of "
    abnormal = sum(map(len, split.test_abnormal.values()))
    log.info(
        "%s and %s held out, of %s%s; %s and %s the score; %d normal and %s for the test",
        counted(len(split.train), "normal image trains", "normal images train"),
        counted(len(split.held_out), "is", "are"),
        what,
        found.sizes,
        counted(len(split.known_abnormal), "known-abnormal image trains", "known-abnormal images train"),
        counted(len(split.validation_abnormal), "weighs", "weigh"),
        len(split.test_good),
        counted(abnormal, "abnormal image is", "abnormal images are"),
    )


def _say_colour(found: Survey, channels: int) -> None:
    """Say where the model sees less than the images have, or pays for what they lack."""
    if channels == 1 and 2 * found.coloured > len(found.frames):
        log.info(
            "the images have colour, and the model sees grey levels; where colour matters, preprocessing.channels: 3"
        )
    if channels == 3 and not found.coloured:
        log.info("the images are grey; with preprocessing.channels: 1 the model sees as much, in less time")


def _say_masks(found: Survey, source: ImageSource, split: Split) -> None:
    files, known = source.mask_files, len(split.known_abnormal) + len(split.validation_abnormal)
    if known or (files is not None and files.found):
        sampled = "" if found.masks.images == known else "sampled "
        found.masks.say(f"{sampled}known-abnormal image", files, source.place)
    if found.defect is not None:
        log.info("the smallest defect looked at is about %.0f px wide", found.defect[0])


def _untrained(config: TrainConfig, split: Split) -> Checkpoint:
    """A checkpoint of networks that know nothing, to time them; no random state changes."""
    with torch.random.fork_rng(devices=[]):
        networks = build_networks(config)
    for network in networks:
        if network is not None:
            network.eval()
    return Checkpoint(config, *networks, split, 0, "")
