"""Opens the data source of each `data.kind`."""

from __future__ import annotations

from pathlib import Path

from latentline.vision.preprocessing import Preprocessing
from trainer.data.caltech import CaltechSource
from trainer.data.folders import FolderSource
from trainer.data.mnist import MnistSource
from trainer.data.mosaics import MosaicSource
from trainer.data.nanotwice import NanoTwiceSource
from trainer.data.region_source import RegionSource
from trainer.data.settings import CaltechData, DataConfig, FolderData, IrMnistData, MnistData
from trainer.data.source import ImageSource


def open_source(config: DataConfig, preprocessing: Preprocessing, root: Path | None = None) -> ImageSource:
    """Open the source that `config` describes. Raises DatasetError when it is missing or broken.

    preprocessing  its bit depth is that of 16-bit pictures, and images are cut to its region; the rest is still to do
    root           None: the data root of `config`
    """
    if root is not None:
        config = config.model_copy(update={"root": root.resolve()})
    source = _source(config).at_depth(preprocessing.bit_depth)
    return source if preprocessing.region is None else RegionSource(source, preprocessing.region)


def _source(config: DataConfig) -> ImageSource:
    if isinstance(config, FolderData):
        return FolderSource(config)
    if isinstance(config, MnistData):
        return MnistSource(config)
    if isinstance(config, IrMnistData):
        return MosaicSource(config)
    if isinstance(config, CaltechData):
        return CaltechSource(config)
    return NanoTwiceSource(config)
