"""Nearest neighbours of pretrained features at the scale of the prepared image. For comparison, not for a station."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from bench.baselines.trunk import block_outputs
from latentline.scoring.maps import pool
from trainer.trunk.lite0 import lite0_network

Float = npt.NDArray[np.float32]
UInt8 = npt.NDArray[np.uint8]
STRIDE = 8  # px between patches
BLOCKS = (4, 10)  # of EfficientNet-Lite0, the last ones of stride 8 and of stride 16
MULTIPLE = 32  # px; sizes that fit the network's strides
CHUNK = 4096  # patches whose distances are computed at a time


class FeatureKnn:
    """Distance of each patch's features to the nearest features of a normal patch, wherever that was.

    PatchCore on the same network sees the whole raw image at 224 px; this one sees what the model sees, in full size.

    Features of strides 8 and 16 are averaged over 3 x 3 neighbours and concatenated at stride 8. The map is the
    distance, scaled to the image and smoothed. The score is the mean of the largest hundredth of the map: the maximum
    alone follows single patches at the edge, where the network pads with zeros.

    memory_size  patches of normal images to compare with, drawn with `seed`
    smoothing    px
    """

    name = "feature kNN"
    raw = False
    spared_seconds = 0.0

    def __init__(self, memory_size: int = 10000, smoothing: float = 4.0, seed: int = 0) -> None:
        self._network = lite0_network()
        self._memory_size, self._smoothing, self._seed = memory_size, smoothing, seed

    def fit(self, normal: Sequence[UInt8]) -> None:
        """Keep the features of patches, equally many of each image."""
        rng = np.random.default_rng(self._seed)
        count = max(1, self._memory_size // len(normal))
        kept = []
        for image in normal:
            patches = self.features(image).flatten(1).T
            kept.append(patches[torch.from_numpy(rng.permutation(len(patches))[:count])])
        self._memory = torch.cat(kept)

    def score(self, image: UInt8) -> tuple[float, Float]:
        """As `Baseline.score`."""
        features = self.features(image)
        patches = features.flatten(1).T
        nearest = torch.cat([torch.cdist(part, self._memory).amin(dim=1) for part in torch.split(patches, CHUNK)])
        coarse = nearest.view(1, 1, *features.shape[1:])
        fine = F.interpolate(coarse, scale_factor=STRIDE, mode="bilinear", align_corners=False)[0, 0].numpy()
        anomaly_map = pool(fine[: image.shape[0], : image.shape[1], None], self._smoothing)[:, :, 0]
        largest = np.sort(anomaly_map, axis=None)[-max(1, anomaly_map.size // 100) :]
        return float(largest.mean()), anomaly_map

    def features(self, prepared: UInt8) -> Tensor:
        """[channels, ⌈h / 8⌉, ⌈w / 8⌉] of a prepared image."""
        height, width = prepared.shape[:2]
        x = torch.from_numpy(np.ascontiguousarray(prepared.transpose(2, 0, 1), dtype=np.float32))[None]
        x = F.pad(x, (0, -width % MULTIPLE, 0, -height % MULTIPLE), mode="replicate")
        # the weights were trained on RGB, (value − 127) / 128; ours is grey or BGR
        x = (x.flip(1).expand(-1, 3, -1, -1) - 127) / 128
        with torch.no_grad():
            levels = block_outputs(self._network, x, BLOCKS)
            features = [F.avg_pool2d(f, 3, stride=1, padding=1, count_include_pad=False) for f in levels]
        scaled = [F.interpolate(f, size=features[0].shape[2:], mode="bilinear", align_corners=False) for f in features]
        return torch.cat(scaled, dim=1)[0, :, : -(-height // STRIDE), : -(-width // STRIDE)]
