"""The first look on the device: D's verdict on every tile of a frame, and which tiles are searched for it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pycuda.driver as cuda

from latentline.backends.tensorrt.gpu import tile_launches
from latentline.backends.tensorrt.gpu.batch_search import Run
from latentline.backends.tensorrt.gpu.engine import Engine, real_type
from latentline.backends.tensorrt.gpu.memory import Arena, DeviceArray
from latentline.backends.tensorrt.gpu.plan import FramePlan
from latentline.package.manifest import ModelSpec
from latentline.package.model_package import FIRST_LOOK


class BatchLook:
    """Looks at B tiles, always in the same memory: tiles real [B, C, S, S] in, the others out.

    logit         float32 [B]
    patch_logits  float32 [B, h, w]; None without a patch head
    """

    def __init__(self, spec: ModelSpec, engines: Mapping[str, Engine], batch: int, arena: Arena) -> None:
        self.tiles = arena.device((batch, spec.channels, spec.tile_size, spec.tile_size), real_type(engines))
        self.logit = arena.device((batch,), np.float32)
        self.patch_logits: DeviceArray | None = None
        memory = {"image": self.tiles, "logit": self.logit}
        if spec.patch_shape is not None:
            self.patch_logits = memory["patch_logits"] = arena.device((batch, *spec.patch_shape), np.float32)
        addresses = {port: array.address for port, array in memory.items()}
        shapes = {port: array.shape for port, array in memory.items()}
        self.enqueue = engines[FIRST_LOOK].bind(addresses, shapes).enqueue

    def warm_up(self, stream: cuda.Stream) -> None:
        """Run the engine once: TensorRT sets up at the first run, which must not happen during a capture."""
        self.enqueue(stream)
        stream.synchronize()


class FrameLook:
    """The first look at the frames of one shape. What it leaves, for all their tiles N and the searched ones K:

    place         int32 [N]: where a tile is among the searched ones; -1: it is not searched
    corners       int32 [K or more, 2] of the searched tiles; the last one repeats
    patch_logits  float32 [N or more, h, w]; None without a patch head
    """

    def __init__(self, plan: FramePlan, look: BatchLook, run: Run, arena: Arena) -> None:
        assert plan.most is not None
        self._plan, self._look, self._run, self._most = plan, look, run, plan.most
        batch, batches = plan.look
        self._every_corner = arena.constant(plan.corners)
        self._logit = arena.device((batch * batches,), np.float32)
        self.place = arena.device((plan.count,), np.int32)
        self.corners = arena.device((plan.room, 2), np.int32)
        self.patch_logits: DeviceArray | None = None
        if look.patch_logits is not None:
            self.patch_logits = arena.device((batch * batches, *look.patch_logits.shape[1:]), np.float32)

    def enqueue(self, prepared: int, chosen: int, stream: cuda.Stream) -> None:
        """Look at the frame uint8 [h, w, C] at `prepared`, and choose: int32 [K or more], ascending, at `chosen`."""
        plan, look, (batch, batches) = self._plan, self._look, self._plan.look
        copies = [(look.logit, self._logit)]
        if look.patch_logits is not None and self.patch_logits is not None:
            copies.append((look.patch_logits, self.patch_logits))
        for first in range(0, batch * batches, batch):
            corners = self._every_corner.address + first * self._every_corner.dtype.itemsize * 2
            tiles = corners, batch, look.tiles.address, plan.tiles.size
            self._run(tile_launches.gather_tiles(prepared, plan.prepared, *tiles), stream)
            look.enqueue(stream)
            for source, target in copies:
                row = source.nbytes // batch
                cuda.memcpy_dtod_async(target.address + first * row, source.address, source.nbytes, stream)
        launch = tile_launches.select_tiles(
            self._logit.address,
            self._every_corner.address,
            plan.count,
            self._most,
            plan.room,
            self.place.address,
            chosen,
            self.corners.address,
        )
        self._run(launch, stream)
