"""The trunk in PyTorch: the reference that graphs and backends must agree with."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from latentline.trunk.extractor import trunk_picture
from latentline.trunk.spec import TrunkNetwork
from trainer.trunk.module import TrunkModule


class TorchTrunk:
    """`FeatureExtractor` in PyTorch, on the CPU."""

    name = "pytorch"

    def __init__(self, module: TrunkModule, network: TrunkNetwork) -> None:
        self._module, self._network = module, network

    def features(self, frame: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """As `FeatureExtractor.features`."""
        network = self._network
        picture = torch.from_numpy(trunk_picture(frame, network.height, network.width, network.input_channels))
        with torch.inference_mode():
            found = self._module(picture)[0]
        return np.asarray(found.numpy())

    def close(self) -> None:
        """Nothing to release."""
