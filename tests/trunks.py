"""A tiny pretrained network with random weights, and what is made of it."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor, nn

from export.trunk import trunk_graph
from latentline.scoring.frame_maps import MapScales
from latentline.trunk.gaussian import fit_gaussian
from latentline.trunk.packaged import PackagedTrunk, TrunkGraph
from latentline.trunk.spec import TrunkNetwork, TrunkSpec
from latentline.trunk.statistics import DISTANCE
from trainer.trunk.levels import PretrainedLevels
from trainer.trunk.module import TrunkModule

SIDE = 64  # px of a frame as the trunk sees it


class Pyramid(nn.Module):
    """Maps of the strides 8, 16 and 32 with 4, 6 and 5 channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, 4, 9, stride=8, padding=4)
        self.second = nn.Conv2d(4, 6, 3, stride=2, padding=1)
        self.third = nn.Conv2d(6, 5, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        first = self.first(x).relu()
        second = self.second(first).relu()
        return first, second, self.third(second).relu()


def tiny_levels(channels: int = 3) -> PretrainedLevels:
    torch.manual_seed(0)
    return PretrainedLevels(
        module=Pyramid(channels).eval().requires_grad_(False),
        strides=(8, 16, 32),
        widths=(4, 6, 5),
        input_channels=channels,
        mean=(127.0,) * channels,
        std=(128.0,) * channels,
        licence="none",
        weights_sha256="0" * 64,
    )


def tiny_trunk(channels: int = 3) -> tuple[TrunkModule, TrunkNetwork]:
    module = TrunkModule(tiny_levels(channels)).eval()
    return module, TrunkNetwork.model_validate(
        {
            "network": "tiny",
            "licence": "none",
            "weights_sha256": "0" * 64,
            "height": SIDE,
            "width": SIDE,
            "input_channels": channels,
            "features": 15,
            "grid": (SIDE // 16, SIDE // 16),
        }
    )


@lru_cache
def tiny_graph() -> TrunkGraph:
    """Tests share it and do not change it."""
    return trunk_graph(*tiny_trunk())


def tiny_packaged() -> PackagedTrunk:
    """A trunk fitted to noise, with a distance alone."""
    graph = tiny_graph()
    features = np.random.default_rng(0).normal(0, 1, (20, 15, *graph.network.grid)).astype(np.float32)
    found = fit_gaussian(features, [str(i) for i in range(20)], 0)
    spec = TrunkSpec(**dict(graph.network), gaussian=found.choice)
    scales = MapScales({DISTANCE: (1.0, 0.1)})
    return PackagedTrunk(graph.network, graph.graph, graph.test, spec, found.statistics, scales)
