"""One frame, from upload to download, as one CUDA graph.

    frame -> [prepare] -> [look at the frame, select tiles] -> per batch: gather tiles -> search -> collect
          -> [SSIM] -> blend -> per scale: pool rows, pool columns -> values -> downloads

Everything is allocated and captured once for all frames of a shape. After that, one launch inspects a frame.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import numpy.typing as npt
import pycuda.driver as cuda

from latentline.backends.tensorrt.gpu import frame_launches, tile_launches
from latentline.backends.tensorrt.gpu.batch_search import BatchSearch, Run
from latentline.backends.tensorrt.gpu.capture import Graph
from latentline.backends.tensorrt.gpu.first_look import FrameLook, LookEngine
from latentline.backends.tensorrt.gpu.frame_comparison import DeviceStatistics, FrameComparison
from latentline.backends.tensorrt.gpu.memory import Arena, DeviceArray, Mirror
from latentline.backends.tensorrt.gpu.plan import FramePlan
from latentline.backends.tensorrt.gpu.repetition import Repetition
from latentline.backends.tensorrt.gpu.while_loop import WhileLoop

UInt8 = npt.NDArray[np.uint8]

SLOTS = 2  # the next frame uploads while one is searched


class Slot:
    """Memory of one frame in flight, on host and device, with its graph and the events around its launch.

    frame                 in: the camera's frame, or the prepared frame
    prepared              out: the prepared frame; `frame` itself unless the graph prepares it
    values                out: raw components of the frame
    tile_values, z        out: of each searched tile
    patch_logits          out: of each searched tile; None without a patch head, and with a look
    chosen                out: which tiles were searched; None without a look
    look, look_patches    out: the logits of the look's windows and patches; None without a look, or a patch head
    anomaly_map, picture  out: of the frame; the picture is the reconstruction
    """

    def __init__(self, plan: FramePlan, search: BatchSearch, look: FrameLook | None, scales: int, arena: Arena) -> None:
        tiles = plan.room
        self.frame = arena.mirror(plan.source, np.uint8)
        self.prepared = arena.mirror(plan.prepared, np.uint8) if plan.prepares else self.frame
        self.values = arena.mirror((scales + len(search.tile_scores),), np.float32)
        self.tile_values = {name: arena.mirror((tiles,), np.float32) for name in search.tile_scores}
        self.z = arena.mirror((tiles, *search.z.shape[1:]), np.float32)
        self.patch_logits: Mirror | None = None
        if search.patch_logits is not None and look is None:
            self.patch_logits = arena.mirror((tiles, *search.patch_logits.shape[1:]), np.float32)
        self.chosen = None if look is None else arena.mirror((tiles,), np.int32)
        self.look = None if look is None else arena.mirror(look.logit.shape, np.float32)
        self.look_patches: Mirror | None = None
        if look is not None and look.patch_logits is not None:
            self.look_patches = arena.mirror(look.patch_logits.shape, np.float32)
        self.anomaly_map = arena.mirror(plan.prepared[:2], np.float32)
        self.picture = arena.mirror(plan.prepared, np.uint8)
        self.uploaded, self.started = cuda.Event(cuda.event_flags.DISABLE_TIMING), cuda.Event()
        self.done = cuda.Event(cuda.event_flags.BLOCKING_SYNC)  # a waiting thread sleeps, so cameras get its core
        self.graph: Graph | None = None

    def outputs(self, plan: FramePlan) -> list[Mirror]:
        """The arrays that the graph copies back to the host."""
        made = [self.prepared] if plan.prepares else []
        of_tiles = (self.patch_logits, self.chosen, self.look, self.look_patches)
        made += [mirror for mirror in of_tiles if mirror is not None]
        return [*made, self.values, *self.tile_values.values(), self.z, self.anomaly_map, self.picture]


class FrameGraph:
    """Inspects the frames of one shape. Raises BackendError when memory runs out or a capture fails."""

    def __init__(
        self,
        plan: FramePlan,
        search: BatchSearch,
        look: LookEngine | None,
        statistics: DeviceStatistics,
        run: Run,
        repetition: Repetition,
        streams: tuple[cuda.Stream, cuda.Stream],
        arena: Arena,
    ) -> None:
        self.plan, self._search, self._run = plan, search, run
        self._stream, self._upload_stream = streams
        tiles = (plan.room, *search.reconstruction.shape[1:])
        self._look = None if look is None else FrameLook(plan, look, run, arena)
        self._corners = arena.constant(plan.corners) if self._look is None else self._look.corners
        self.reconstruction = arena.device(tiles, search.reconstruction.dtype)
        place = None if self._look is None else self._look.place
        self._comparison = FrameComparison(plan, statistics, self._corners, place, self.reconstruction, arena)
        self._free = [Slot(plan, search, self._look, len(statistics.taps), arena) for _ in range(SLOTS)]
        self._slots = tuple(self._free)
        try:
            for slot in self._slots:
                slot.graph = repetition.capture(self._stream, partial(self._enqueue, slot))
                slot.graph.upload(self._stream)
        except BaseException:
            self.close()
            raise

    @property
    def nodes(self) -> int:
        """The number of operations in the graph; those of a loop's body count once."""
        graph = self._slots[0].graph
        return 0 if graph is None else graph.nodes

    @property
    def host_calls(self) -> int:
        """Driver calls for one frame, from its upload to its result.

        4 make the context current and restore it, to launch and to wait; 3 are the launch and the events around it; 1
        waits. A GPU with memory of its own needs 3 more: the upload, an event after it, and a wait for that event.
        """
        return 8 if self._slots[0].frame.mapped else 11

    def submit(self, frame: UInt8) -> Slot:
        """Upload `frame` (shape `plan.source`) and launch its graph behind the work in flight. Returns at once."""
        slot = self._free.pop()
        try:
            np.copyto(slot.frame.host, frame.reshape(self.plan.source))
            if not slot.frame.mapped:
                slot.frame.upload(self._upload_stream)
                slot.uploaded.record(self._upload_stream)
                self._stream.wait_for_event(slot.uploaded)
            slot.started.record(self._stream)
            assert slot.graph is not None
            slot.graph.launch(self._stream)
            slot.done.record(self._stream)
        except BaseException:
            self._free.append(slot)
            raise
        return slot

    def release(self, slot: Slot) -> None:
        """Free a slot for another frame, once its results have been read."""
        self._free.append(slot)

    def close(self) -> None:
        """Release the graphs. The arena releases the memory."""
        for slot in self._slots:
            if slot.graph is not None:
                slot.graph.close()

    def _enqueue(self, slot: Slot, loop: WhileLoop | None) -> None:
        plan, stream, search = self.plan, self._stream, self._search
        if plan.prepares:
            pitch = plan.source[1] * plan.source[2]
            shapes = slot.frame.address, pitch, plan.source, slot.prepared.address, plan.prepared
            self._run(frame_launches.prepare_frame(*shapes), stream)
        if self._look is not None and slot.chosen is not None:
            self._look.enqueue(slot.prepared.address, slot.chosen.address, stream)
            for array, mirror in ((self._look.logit, slot.look), (self._look.patch_logits, slot.look_patches)):
                if array is not None and mirror is not None:
                    cuda.memcpy_dtod_async(mirror.address, array.address, array.nbytes, stream)
        for first in range(0, plan.room, plan.batch):
            corners = self._corners.address + first * self._corners.dtype.itemsize * 2
            tiles = corners, plan.batch, search.tiles.address, plan.tiles.size, plan.tiles.size
            self._run(tile_launches.gather_tiles(slot.prepared.address, plan.prepared, *tiles), stream)
            search.enqueue(stream, loop)
            self._collect(slot, first)
        values = slot.values.address, slot.anomaly_map.address, slot.picture.address
        scores = {name: mirror.address for name, mirror in slot.tile_values.items()}
        for launch in self._comparison.launches(slot.prepared.address, scores, *values):
            self._run(launch, stream)
        for mirror in slot.outputs(plan):
            mirror.download(stream)

    def _collect(self, slot: Slot, first: int) -> None:
        """Copy the results of one batch to their place among all tiles, from tile `first` on."""
        copies: list[tuple[DeviceArray, int]] = [
            (self._search.z, slot.z.address),
            (self._search.reconstruction, self.reconstruction.address),
        ]
        copies += [(array, slot.tile_values[name].address) for name, array in self._search.tile_scores.items()]
        if self._search.patch_logits is not None and slot.patch_logits is not None:
            copies.append((self._search.patch_logits, slot.patch_logits.address))
        for source, target in copies:
            row = source.nbytes // self.plan.batch
            cuda.memcpy_dtod_async(target + first * row, source.address, source.nbytes, self._stream)
