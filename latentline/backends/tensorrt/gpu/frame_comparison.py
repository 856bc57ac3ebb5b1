"""The comparison of a frame with its reconstruction on the device: difference, anomaly map, components of the frame."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from latentline.backends.tensorrt.gpu import frame_launches, tile_launches
from latentline.backends.tensorrt.gpu.launch import NOTHING, Launch
from latentline.backends.tensorrt.gpu.memory import Arena, DeviceArray
from latentline.backends.tensorrt.gpu.plan import FramePlan
from latentline.scoring.maps import PixelStatistics
from latentline.search.searched_frame import MapKind
from latentline.vision.ssim import window


@dataclass(frozen=True)
class DeviceStatistics:
    """`PixelStatistics` on the device: kind, mean, std [C, S, S], and the taps of each scale's Gaussian."""

    kind: MapKind
    mean: DeviceArray
    std: DeviceArray
    taps: tuple[DeviceArray, ...]
    pooled_std: tuple[float, ...]

    @classmethod
    def on(cls, arena: Arena, statistics: PixelStatistics) -> DeviceStatistics:
        """Copy the statistics of a package to the device."""
        return cls(
            statistics.kind,
            arena.constant(statistics.mean),
            arena.constant(statistics.std),
            tuple(arena.constant(frame_launches.gaussian_taps(scale)) for scale in statistics.scales),
            tuple(float(std) for std in statistics.pooled_std),
        )


class TileSsim:
    """1 − SSIM of the tiles of frames of one shape and their reconstruction: float32 [N, C, S, S] at `address`.

    corners         int32 [N or more, 2], as in `FramePlan`
    reconstruction  real [N or more, C, S, S]
    """

    def __init__(self, plan: FramePlan, corners: DeviceArray, reconstruction: DeviceArray, arena: Arena) -> None:
        self._plan, self._corners, self._reconstruction = plan, corners, reconstruction
        self._taps = arena.constant(window())
        self._difference = arena.device((plan.searched, *reconstruction.shape[1:]), np.float32)
        self.address = self._difference.address

    def launch(self, prepared: int) -> Launch:
        """The launch for the frame uint8 [h, w, C] at this address."""
        tiles = self._corners.address, self._plan.searched, self._reconstruction.address, self._plan.tiles.size
        return tile_launches.ssim_difference(
            prepared, self._plan.prepared, *tiles, self._taps.address, self._difference.address
        )


class FrameComparison:
    """What the frames of one shape need to be compared, each with the reconstruction of its tiles.

    corners, place  of the searched tiles, as in `FrameLook`; place None: all are searched
    """

    def __init__(
        self,
        plan: FramePlan,
        statistics: DeviceStatistics,
        corners: DeviceArray,
        place: DeviceArray | None,
        reconstruction: DeviceArray,
        arena: Arena,
    ) -> None:
        self._plan, self._statistics, self._reconstruction = plan, statistics, reconstruction
        self._place = NOTHING if place is None else place.address
        height, width, channels = plan.prepared
        self._rows, self._columns = arena.constant(plan.rows), arena.constant(plan.columns)
        self._difference, self._pooled = (arena.device((channels, height, width), np.float32) for _ in range(2))
        ssim = statistics.kind == "ssim"
        self._tile_ssim = TileSsim(plan, corners, reconstruction, arena) if ssim else None
        self._blocks = frame_launches.pool_blocks(height, width)
        self._maxima = arena.device((len(statistics.taps), self._blocks), np.float32)

    def launches(
        self, prepared: int, scores: Mapping[str, int], values: int, anomaly_map: int, picture: int
    ) -> Iterator[Launch]:
        """The launches in their order, with the addresses of what they read and write.

        prepared  uint8 [h, w, C]
        scores    of each tile, float32 [N]: feature_residual, logit_frame, and with D's verdict on the reconstruction
                  logit_reconstruction and loss
        values, anomaly_map, picture  out, as in `Slot`
        """
        statistics, shape = self._statistics, self._plan.prepared
        if self._tile_ssim is not None:
            yield self._tile_ssim.launch(prepared)
        yield frame_launches.blend(
            prepared,
            shape,
            self._reconstruction.address,
            0 if self._tile_ssim is None else self._tile_ssim.address,
            statistics.mean.address,
            statistics.std.address,
            self._rows.address,
            self._rows.shape[0],
            self._columns.address,
            self._columns.shape[0],
            self._place,
            self._plan.tiles.size,
            self._difference.address,
            picture,
            kind=statistics.kind,
        )
        for index, (taps, pooled_std) in enumerate(zip(statistics.taps, statistics.pooled_std, strict=True)):
            pool = taps.address, taps.shape[0]
            yield frame_launches.pool_rows(self._difference.address, shape, *pool, self._pooled.address)
            columns = self._pooled.address, shape, *pool, anomaly_map, self._maxima.address
            yield frame_launches.pool_columns(*columns, pooled_std=pooled_std, kind=statistics.kind, scale_index=index)
        yield frame_launches.frame_values(
            self._maxima.address,
            len(statistics.taps),
            self._blocks,
            scores["feature_residual"],
            scores.get("logit_reconstruction", NOTHING),
            scores["logit_frame"],
            scores.get("loss", NOTHING),
            self._plan.searched,
            values,
            kind=statistics.kind,
        )
