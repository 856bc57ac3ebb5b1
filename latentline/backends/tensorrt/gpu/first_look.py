"""The first look on the device: D over a whole frame, and which tiles are searched for it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pycuda.driver as cuda

from latentline.backends.tensorrt.gpu import tile_launches
from latentline.backends.tensorrt.gpu.batch_search import Run
from latentline.backends.tensorrt.gpu.engine import Engine, real_type
from latentline.backends.tensorrt.gpu.memory import Arena, DeviceArray
from latentline.backends.tensorrt.gpu.plan import LARGEST_FRAME, FramePlan
from latentline.errors import BackendError
from latentline.package.manifest import ModelSpec
from latentline.package.model_package import FIRST_LOOK
from latentline.search.first_look import STEPS


class LookEngine:
    """Looks at frames of one shape [H, W], as `look_shape` has it, always in the same memory.

    frame         in: real [1, C, H, W]
    logit         out: float32 [rows, columns]
    patch_logits  out: float32 [h, w]; None without a patch head
    Raises BackendError for a frame that is too large.
    """

    def __init__(self, spec: ModelSpec, engines: Mapping[str, Engine], shape: tuple[int, int], arena: Arena) -> None:
        height, width = shape
        if max(shape) > LARGEST_FRAME:
            raise BackendError(
                f"a first look takes frames of at most {LARGEST_FRAME} px a side on a GPU, and this one has {width} x "
                f"{height}; scale frames down (preprocessing.height) or search all tiles (search.tiles: all), and "
                "export again"
            )
        step = spec.tile_size // STEPS
        self.frame = arena.device((1, spec.channels, height, width), real_type(engines))
        self.logit = arena.device((height // step - STEPS + 1, width // step - STEPS + 1), np.float32)
        self.patch_logits: DeviceArray | None = None
        memory = {"image": self.frame, "logit": self.logit}
        if spec.patch_shape is not None:
            patches = height * spec.patch_shape[0] // spec.tile_size, width * spec.patch_shape[1] // spec.tile_size
            self.patch_logits = memory["patch_logits"] = arena.device(patches, np.float32)
        addresses = {port: array.address for port, array in memory.items()}
        self.enqueue = engines[FIRST_LOOK].bind(addresses, {"image": self.frame.shape}, arena).enqueue

    def warm_up(self, stream: cuda.Stream) -> None:
        """Run the engine once: TensorRT sets up at the first run, which must not happen during a capture."""
        self.enqueue(stream)
        stream.synchronize()


class FrameLook:
    """The first look at the frames of one plan. What it leaves, for all their tiles N and the searched ones K:

    place         int32 [N]: where a tile is among the searched ones; -1: it is not searched
    corners       int32 [K or more, 2] of the searched tiles; the last one repeats
    logit         float32 [rows, columns] of the look's windows
    patch_logits  float32 [h, w]; None without a patch head
    """

    def __init__(self, plan: FramePlan, look: LookEngine, run: Run, arena: Arena) -> None:
        assert plan.most is not None
        self._plan, self._look, self._run, self._most = plan, look, run, plan.most
        self._every_corner = arena.constant(plan.corners)
        self._whole = arena.constant(np.zeros((1, 2), np.int32))  # the corner of the frame
        self._of_tiles = arena.device((plan.count,), np.float32)
        self.place = arena.device((plan.count,), np.int32)
        self.corners = arena.device((plan.room, 2), np.int32)
        self.logit, self.patch_logits = look.logit, look.patch_logits

    def enqueue(self, prepared: int, chosen: int, stream: cuda.Stream) -> None:
        """Look at the frame uint8 [h, w, C] at `prepared`, and choose: int32 [K or more], ascending, at `chosen`."""
        plan, look = self._plan, self._look
        corners, count = self._every_corner.address, plan.count
        frame = self._whole.address, 1, look.frame.address, *plan.look
        self._run(tile_launches.gather_tiles(prepared, plan.prepared, *frame), stream)
        look.enqueue(stream)
        rows, columns = look.logit.shape
        windows = look.logit.address, (rows, columns), plan.tiles.size // STEPS
        self._run(tile_launches.logits_of_tiles(*windows, corners, count, self._of_tiles.address), stream)
        outputs = self.place.address, chosen, self.corners.address
        launch = tile_launches.select_tiles(self._of_tiles.address, corners, count, self._most, plan.room, *outputs)
        self._run(launch, stream)
