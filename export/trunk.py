"""The trunk of a package: from the PyTorch module to trunk.onnx and its test, and with statistics to the whole."""

from __future__ import annotations

import copy

import cv2
import numpy as np
import numpy.typing as npt
import torch

from export.graphs import to_onnx
from latentline.scoring.frame_maps import MapScales
from latentline.trunk.packaged import PackagedTrunk, TrunkGraph, TrunkTest
from latentline.trunk.spec import TrunkNetwork, TrunkSpec
from trainer.settings.trunk import TrunkConfig
from trainer.trunk.fit import FittedTrunk
from trainer.trunk.module import TrunkModule, load_trunk

UInt8 = npt.NDArray[np.uint8]


def export_trunk(config: TrunkConfig) -> TrunkGraph:
    """trunk.onnx with its test. Takes seconds.

    Raises BackendError when the weights are missing, ConfigError for a network that makes no trunk.
    """
    return trunk_graph(*load_trunk(config))


def trunk_graph(module: TrunkModule, network: TrunkNetwork) -> TrunkGraph:
    """The graph of a module, and a picture with the features that the module gives in float64."""
    shape = network.input_channels, network.height, network.width
    graph = to_onnx(copy.deepcopy(module), {"image": torch.zeros(2, *shape)}, ["features"])
    image = example_picture(*shape, seed=0)
    exact = copy.deepcopy(module).double()
    with torch.no_grad():
        features = exact(torch.from_numpy(image).double())[0].float().numpy()
    return TrunkGraph(network, graph, TrunkTest(image, features))


def example_picture(channels: int, height: int, width: int, seed: int) -> UInt8:
    """A picture of soft blobs with some noise, uint8 [1, channels, height, width]; always the same for a seed."""
    random = np.random.default_rng(seed)
    coarse = random.uniform(30, 225, (8, 8, channels)).astype(np.float32)
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).reshape(height, width, channels)
    noisy = smooth + random.normal(0, 6, smooth.shape)
    return np.ascontiguousarray(np.clip(noisy, 0, 255).astype(np.uint8).transpose(2, 0, 1)[None])


def packaged_trunk(trunk: TrunkGraph, fitted: FittedTrunk, scales: MapScales) -> PackagedTrunk | None:
    """What a package brings of a trunk whose maps have these scales. None: no map has a weight, so it brings none."""
    spec = TrunkSpec(**dict(trunk.network), gaussian=fitted.gaussian, verdict=fitted.verdict)
    return PackagedTrunk(trunk.network, trunk.graph, trunk.test, spec, fitted.maps.statistics, scales).only(scales)
