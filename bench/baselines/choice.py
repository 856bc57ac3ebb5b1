"""Which baselines there are, and how each is made for a training's configuration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Literal

from bench.baselines.base import Baseline
from bench.baselines.feature_knn import FeatureKnn
from bench.baselines.linear_verdict import LinearVerdict, Mask, UInt8
from bench.baselines.padim import Padim
from bench.baselines.patch_core import PatchCore
from bench.baselines.patch_pca import PatchPca
from bench.baselines.pooled import PooledInput
from bench.baselines.trunk import TrunkFeatures
from trainer.config import TrainConfig
from trainer.data.loading import load
from trainer.data.sources import open_source

BaselineFactory = Callable[[TrainConfig], Baseline]


def pooled_input(kind: Literal["residual", "l2"]) -> BaselineFactory:
    """Makes `PooledInput` with the tiles of a configuration."""
    return lambda config: PooledInput(kind, config.network.resolution, config.search.overlap)


WITHOUT_NETWORK: tuple[BaselineFactory, ...] = (pooled_input("residual"), pooled_input("l2"), lambda _: PatchPca())


@dataclass(frozen=True)
class BaselineChoice:
    """Baselines that see normal images alone, and those that are shown the known-abnormal ones too."""

    on_normal: tuple[BaselineFactory, ...]
    on_known: tuple[BaselineFactory, ...]

    @property
    def all(self) -> tuple[BaselineFactory, ...]:
        """Both."""
        return self.on_normal + self.on_known


def all_baselines() -> BaselineChoice:
    """Every baseline. Those that see whole images through the pretrained network share its features."""

    @cache
    def features() -> TrunkFeatures:
        return TrunkFeatures()

    on_features: tuple[BaselineFactory, ...] = (
        lambda _: Padim(features(), grid=14, levels=(1, 2, 3, 4)),  # strides 8, 16, 16, 32
        lambda _: Padim(features(), grid=28, levels=(0, 1, 2, 3)),  # strides 4, 8, 16, 16; the paper's are 4, 8, 16
        lambda _: PatchCore(features()),
    )
    return BaselineChoice(
        (*WITHOUT_NETWORK, lambda _: FeatureKnn(), *on_features),
        (lambda config: LinearVerdict(features(), known_abnormal(config)),),
    )


def known_abnormal(config: TrainConfig) -> list[tuple[UInt8, Mask]]:
    """The known-abnormal frames that have masks, those for the weights of a score included."""
    source = open_source(config.data, config.preprocessing)
    split = source.split(config.schedule.seed)
    images = load(source, (*split.known_abnormal, *split.validation_abnormal)).images
    masks = {name: source.mask(name, (image.shape[0], image.shape[1])) for name, image in images.items()}
    return [(images[name], mask) for name, mask in masks.items() if mask is not None and mask.any()]
