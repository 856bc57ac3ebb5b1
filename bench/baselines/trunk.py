"""Features of EfficientNet-Lite0 with its ImageNet weights, for the baselines that stand on a pretrained network."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from time import perf_counter
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import openvino as ov
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from export.graphs import to_onnx
from trainer.trunk.lite0 import lite0_network

Float = npt.NDArray[np.float32]
UInt8 = npt.NDArray[np.uint8]
Size = tuple[int, int]
SIZE = 224  # px; the network was trained on images of this size
BLOCKS = (2, 4, 7, 10, 14)  # whose outputs are the levels: strides 4, 8, 16, 16, 32; channels 24, 40, 80, 112, 192


def block_outputs(network: Any, x: Tensor, blocks: Sequence[int]) -> list[Tensor]:
    """What `blocks` of the network give for images [n, 3, h, w], RGB as (value − 127) / 128."""
    outputs = []
    h = network._swish(network._bn0(network._conv_stem(x)))
    for index, block in enumerate(network._blocks[: max(blocks) + 1]):
        h = block(h)
        if index in blocks:
            outputs.append(h)
    return outputs


class TrunkFeatures:
    """The levels of whole images, squeezed to 224 x 224 px; each image goes through the network once, on one thread.

    Features are kept in memory in half precision, 0.3 MB an image.

    spared_seconds  of the network, spared because an image had been seen before
    Raises BackendError when the wheels are not installed.
    """

    def __init__(self) -> None:
        self.spared_seconds = 0.0
        self._compiled = compiled_levels((SIZE, SIZE), threads=1)
        self._kept: dict[bytes, tuple[list[npt.NDArray[np.float16]], float]] = {}

    def forget(self) -> None:
        """Keep no features: the next image goes through the network, whether it has been seen or not."""
        self._kept.clear()

    def levels(self, frame: UInt8) -> list[Float]:
        """Of a frame [h, w] or [h, w, C], BGR: [channels, side, side] of each level in BLOCKS."""
        key = hashlib.blake2b(frame.tobytes() + str(frame.shape).encode()).digest()
        if key in self._kept:
            self.spared_seconds += self._kept[key][1]
        else:
            start = perf_counter()
            outputs = self._compiled(network_input(frame)).values()
            self._kept[key] = [o[0].astype(np.float16) for o in outputs], perf_counter() - start
        return [level.astype(np.float32) for level in self._kept[key][0]]


def network_input(frame: UInt8, size: Size = (SIZE, SIZE)) -> Float:
    """[1, 3, h, w] with `size` (h, w), of a frame [H, W] or [H, W, C], BGR."""
    shrinks = frame.shape[0] > size[0] and frame.shape[1] > size[1]
    scaled = cv2.resize(frame, size[::-1], interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    rgb = np.atleast_3d(scaled).astype(np.float32)[:, :, ::-1]
    return np.ascontiguousarray(np.broadcast_to((rgb - 127) / 128, (*size, 3)).transpose(2, 0, 1)[None])


def on_grid(levels: Sequence[Float], grid: int | Size) -> Float:
    """All levels side by side, [rows * columns, channels]: local means of 3 x 3, then scaled to the grid.

    grid  (rows, columns), or one number for both
    """
    rows, columns = (grid, grid) if isinstance(grid, int) else grid
    parts = []
    for level in levels:
        means = F.avg_pool2d(torch.from_numpy(level)[None], 3, stride=1, padding=1, count_include_pad=False)
        if means.shape[2] > rows:
            means = F.adaptive_avg_pool2d(means, (rows, columns))
        parts.append(F.interpolate(means, size=(rows, columns), mode="bilinear", align_corners=False)[0])
    patches: Float = torch.cat(parts).flatten(1).T.contiguous().numpy()
    return patches


def compiled_levels(size: Size, threads: int) -> Any:
    """The network for one image [1, 3, h, w] of `size` (h, w); its outputs are the levels.

    Raises BackendError when the wheels are not installed.
    """
    levels = [f"level_{block}" for block in BLOCKS]
    model = ov.Core().read_model(to_onnx(_Levels(lite0_network()), {"image": torch.zeros(2, 3, SIZE, SIZE)}, levels))
    model.reshape([1, 3, *size])
    options = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    return ov.compile_model(model, "CPU", options)


class _Levels(nn.Module):
    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return tuple(block_outputs(self.network, x, BLOCKS))
