"""Contrast: does a model reproduce defects as well as what is normal?

A model that makes only what is normal leaves a large residual where a defect is, and a small one elsewhere. The mean
squared residual inside the masks of defects, divided by that of normal tiles, is 1 where a model makes a defect as well
as anything else, and larger the less it can make of it. But a bright defect is far from every normal image, and a faint
one near: the mean image alone has a ratio, too. The share of the variance inside the masks that a model explains tells
more: at 0 the mean tile would do as well, at 1 the defect is copied.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from bench.detection.reconstruction.tile_groups import TileGroup, cut_defects, cut_normal
from latentline.base.strict_yaml import StrictModel
from latentline.errors import DatasetError
from latentline.search.searcher import Searcher
from latentline.search.tiler import TILES_TOGETHER
from latentline.vision.preprocessing import to_model_range
from trainer.config import TrainConfig
from trainer.data.source import ImageSource
from trainer.data.split import Split

Float = npt.NDArray[np.float64]


class Residual(StrictModel):
    """The squared residual of a group: its mean over pixels that count, then over images, in squares of [-1, 1].

    mean_square  of x − G(ẑ)
    variance     of x − mean; mean is the mean held-out normal tile
    """

    images: int
    tiles: int
    mean_square: float
    variance: float

    @property
    def explained(self) -> float | None:
        """Share of the variance that the reconstructions explain; None where there is none."""
        return 1 - self.mean_square / self.variance if self.variance else None


class Contrast(StrictModel):
    """Residuals of normal tiles and of defects.

    normal          of normal test images; of held-out ones where `normal_is` says so
    known_abnormal  of the images that a method may be shown as abnormal; only Noisy-AnoGAN is. None: no tile
    kinds           of the defects in test images, by kind; a kind without masks is absent
    shown           kinds of which some images are known abnormal
    """

    normal: Residual
    normal_is: Literal["test", "held out"]
    held_out: Residual
    known_abnormal: Residual | None
    kinds: dict[str, Residual]
    shown: tuple[str, ...]

    def ratio(self, residual: Residual | None) -> float | None:
        """The residual over that of normal tiles; None where it is missing, or normal tiles are copied exactly."""
        if residual is None or not self.normal.mean_square:
            return None
        return residual.mean_square / self.normal.mean_square

    def all_kinds(self, *, shown: bool) -> Residual | None:
        """The residual of all test defects whose kind was shown, or was not; each image counts once."""
        chosen = [residual for kind, residual in self.kinds.items() if (kind in self.shown) == shown]
        if not chosen:
            return None
        images = [residual.images for residual in chosen]
        return Residual(
            images=sum(images),
            tiles=sum(residual.tiles for residual in chosen),
            mean_square=float(np.average([residual.mean_square for residual in chosen], weights=images)),
            variance=float(np.average([residual.variance for residual in chosen], weights=images)),
        )


@dataclass(frozen=True)
class ContrastTiles:
    """The tiles behind a `Contrast`, the same for every search."""

    normal: TileGroup | None
    held_out: TileGroup
    known_abnormal: TileGroup | None
    kinds: Mapping[str, TileGroup]
    shown: tuple[str, ...]

    @classmethod
    def cut(cls, source: ImageSource, split: Split, config: TrainConfig) -> ContrastTiles:
        """Cut the tiles of a split. Raises DatasetError."""
        held_out = cut_normal(source, split.held_out, config)
        if held_out is None:
            raise DatasetError(f"{source.place}: no held-out normal image can be read; hold out some")
        known = (*split.known_abnormal, *split.validation_abnormal)
        kinds = {kind: cut_defects(source, names, config) for kind, names in split.test_abnormal.items()}
        return cls(
            cut_normal(source, split.test_good, config),
            held_out,
            cut_defects(source, split.known_abnormal, config),
            {kind: tiles for kind, tiles in kinds.items() if tiles is not None},
            tuple(sorted({kind_of(name) for name in known})),
        )

    def measure(self, searcher: Searcher) -> Contrast:
        """Search all tiles, with a progress bar."""
        mean = to_model_range(self.held_out.tiles).mean(axis=0, dtype=np.float64)
        groups = {"normal": self.normal, "held-out normal": self.held_out, "known-abnormal": self.known_abnormal}
        found = {what: _residual(searcher, tiles, mean, what) for what, tiles in groups.items() if tiles is not None}
        return Contrast(
            normal=found.get("normal", found["held-out normal"]),
            normal_is="held out" if self.normal is None else "test",
            held_out=found["held-out normal"],
            known_abnormal=found.get("known-abnormal"),
            kinds={kind: _residual(searcher, tiles, mean, kind) for kind, tiles in self.kinds.items()},
            shown=self.shown,
        )


def kind_of(name: str) -> str:
    """The kind of defect that an image test/KIND/FILE shows."""
    return name.split("/")[1]


def _residual(searcher: Searcher, group: TileGroup, mean: Float, what: str) -> Residual:
    """Search a group; `mean` [C, S, S] is that of normal tiles."""
    sums = np.concatenate(list(_sums(searcher, group, mean, what)))
    weights = (*sums.T, group.counts.sum(axis=(1, 2)))
    residual, variance, pixels = (np.bincount(group.images, values) for values in weights)
    seen = pixels > 0
    return Residual(
        images=int(seen.sum()),
        tiles=len(group.tiles),
        mean_square=float((residual[seen] / pixels[seen]).mean()),
        variance=float((variance[seen] / pixels[seen]).mean()),
    )


def _sums(searcher: Searcher, group: TileGroup, mean: Float, what: str) -> Iterator[Float]:
    """Σ(x − G(ẑ))² and Σ(x − mean)² over the pixels of each tile that count, [N, 2] in batches; a mean of channels."""
    for start in tqdm(range(0, len(group.tiles), TILES_TOGETHER), desc=f"contrast, {what} tiles", delay=2):
        batch = slice(start, start + TILES_TOGETHER)
        tiles, counts = group.tiles[batch], group.counts[batch]
        x = to_model_range(tiles).astype(np.float64)
        differences = (x - searcher.search(tiles).reconstruction, x - mean)
        yield np.stack([(np.square(d).mean(axis=1) * counts).sum(axis=(1, 2)) for d in differences], axis=1)
