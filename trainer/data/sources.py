"""Opens the data source of each `data.kind`."""

from __future__ import annotations

from pathlib import Path

from latentline.vision.bit_depth import BitDepth
from trainer.data.caltech import CaltechSource
from trainer.data.folders import FolderSource
from trainer.data.mnist import MnistSource
from trainer.data.mosaics import MosaicSource
from trainer.data.nanotwice import NanoTwiceSource
from trainer.data.settings import CaltechData, DataConfig, FolderData, IrMnistData, MnistData
from trainer.data.source import ImageSource


def open_source(config: DataConfig, root: Path | None = None, bit_depth: BitDepth = "auto") -> ImageSource:
    """Open the source that `config` describes. Raises DatasetError when it is missing or broken.

    root       None: the data root of `config`
    bit_depth  of its 16-bit pictures
    """
    if root is not None:
        config = config.model_copy(update={"root": root.resolve()})
    return _source(config).at_depth(bit_depth)


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
