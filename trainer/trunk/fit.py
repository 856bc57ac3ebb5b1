"""Fit a trunk to the images of a split: a Gaussian of the normal training images, a verdict of known defects."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from latentline.base.counted import counted
from latentline.trunk.extractor import FeatureExtractor
from latentline.trunk.gaussian import GaussianChoice, fit_gaussian
from latentline.trunk.maps import TrunkMaps
from latentline.trunk.spec import TrunkNetwork
from latentline.trunk.verdict import KnownDefect, VerdictFit, fit_verdict, verdict_obstacle
from trainer.data.loading import SECONDS_BEFORE_PROGRESS, read_each
from trainer.data.source import ImageSource
from trainer.data.split import Split

Float = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
MOST_NORMALS = 1000  # images; more move no covariance that counts, and each takes a quarter of a megabyte
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FittedTrunk:
    """A trunk that is fitted, but not calibrated.

    maps      frame in, maps out
    gaussian  why the Gaussian is of its kind
    verdict   what the verdict was fitted to; None: there is none
    """

    maps: TrunkMaps
    gaussian: GaussianChoice
    verdict: VerdictFit | None


def fit_trunk(
    extractor: FeatureExtractor, network: TrunkNetwork, source: ImageSource, split: Split, seed: int
) -> FittedTrunk:
    """Fit a trunk to the training side of a split, with progress bars, and log what was found.

    Raises DatasetError when normal images are too few, or too many are broken.
    """
    groups = source.groups()
    names = _some(split.train, seed)
    if network.input_channels == 1 and _are_coloured(source, names):
        log.warning("trunk: %s takes grey pictures, so it sees the colour images in grey", network.network)
    normal = dict(_features(extractor, source, names, "trunk, normal images"))
    features = np.stack(list(normal.values())) if normal else np.zeros((0, 1, 2, 2), np.float32)
    found = fit_gaussian(features, [groups.get(name, name) for name in normal], seed)
    log.info("trunk: %s", found.choice.sentence)
    known = list(_known(extractor, source, split.known_abnormal, groups))
    if reason := verdict_obstacle(known):
        log.warning("%s", reason)
        return FittedTrunk(TrunkMaps(extractor, found.statistics), found.choice, None)
    statistics, verdict = fit_verdict(known, found.judging, list(features[found.judged]), found.statistics)
    where = "masked patches" if verdict.masks else "whole images, because masks are too few"
    images, parts = counted(verdict.images, "known image"), counted(verdict.parts, "part")
    log.info("trunk: verdict from %s of %s, on %s", images, parts, where)
    return FittedTrunk(TrunkMaps(extractor, statistics), found.choice, verdict)


def _are_coloured(source: ImageSource, names: Sequence[str]) -> bool:
    """Whether the first readable image has colours."""
    frames = (frame for _, frame in read_each(source, names, []))
    return next((frame.ndim == 3 and frame.shape[2] > 1 for frame in frames), False)


def _some(names: Sequence[str], seed: int) -> list[str]:
    chosen = np.random.default_rng(seed).permutation(len(names))[:MOST_NORMALS]
    return [names[i] for i in sorted(chosen)]


def _features(
    extractor: FeatureExtractor, source: ImageSource, names: Sequence[str], what: str
) -> Iterator[tuple[str, Float]]:
    skipped: list[str] = []
    frames = read_each(source, names, skipped)
    for name, frame in tqdm(frames, total=len(names), unit="img", desc=what, delay=SECONDS_BEFORE_PROGRESS):
        yield name, extractor.features(frame)
    for sentence in skipped:
        log.warning("skipped: %s", sentence)


def _known(
    extractor: FeatureExtractor, source: ImageSource, names: Sequence[str], groups: Mapping[str, str]
) -> Iterator[KnownDefect]:
    for name, features in _features(extractor, source, names, "trunk, known-abnormal images"):
        frame = source.read(name)
        mask = source.mask(name, (frame.shape[0], frame.shape[1]))
        if mask is not None and not mask.any():
            log.warning("%s/%s: its mask is empty, so the trunk learns nothing from it", source.place, name)
            continue
        share = None if mask is None else _share(mask, features.shape[1:])
        yield KnownDefect(features, share, groups.get(name, name))


def _share(mask: Mask, grid: tuple[int, ...]) -> Float:
    """The masked share of each position."""
    shrunk = cv2.resize(mask.astype(np.float32), (grid[1], grid[0]), interpolation=cv2.INTER_AREA)
    return np.asarray(shrunk, np.float32)
