"""The search of one batch of tiles: its memory, its engines, and the order of its work."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import numpy.typing as npt
import pycuda.driver as cuda

from latentline.backends.adam import initial_latent
from latentline.backends.tensorrt.gpu import tile_launches
from latentline.backends.tensorrt.gpu.engine import Engine, real_type
from latentline.backends.tensorrt.gpu.launch import NOTHING, Launch
from latentline.backends.tensorrt.gpu.memory import Arena, DeviceArray
from latentline.backends.tensorrt.gpu.while_loop import WhileLoop
from latentline.backends.tensorrt.graphs.features import FEATURES
from latentline.package.manifest import ModelSpec
from latentline.package.model_package import DISCRIMINATOR, ENCODER, GENERATOR, SEARCH_STEP

Float = npt.NDArray[np.float32]

TILE_VALUES = ("feature_residual", "logit_reconstruction", "logit_frame", "loss")
OF_VERDICT = ("logit_reconstruction", "loss")  # those that need D's verdict on the reconstruction
Run = Callable[[Launch, cuda.Stream], None]


class BatchSearch:
    """Searches B tiles, always in the same memory. `tiles` is the input, the others are outputs.

    tiles, reconstruction              real [B, C, S, S]
    z                                  float32 [B, L]
    tile_scores                        float32 [B] each, by field of `TileScores`; without logit_reconstruction and
                                       loss where the engines have D's features alone for reconstructions
    patch_logits                       float32 [B, h, w], as in `SearchResult`; None without a patch head
    trace                              float32 [iterations, B]: L' before each iteration's step
    """

    def __init__(self, spec: ModelSpec, engines: Mapping[str, Engine], run: Run, batch: int, arena: Arena) -> None:
        self._spec, self._run, self.batch = spec, run, batch
        assert spec.feature_shape is not None  # see latentline.backends.tensorrt.gpu.supported
        real = real_type(engines)
        image, features = (batch, spec.channels, spec.tile_size, spec.tile_size), (batch, *spec.feature_shape)
        latent = (batch, spec.latent_size)
        self.tiles, self.reconstruction = arena.device(image, real), arena.device(image, real)
        self._features_frame, self._features = arena.device(features, real), arena.device(features, real)
        self.z, self._gradient, self._m, self._v = (arena.device(latent, np.float32) for _ in range(4))
        self._judges = FEATURES not in engines
        names = TILE_VALUES if self._judges else tuple(name for name in TILE_VALUES if name not in OF_VERDICT)
        self.tile_scores = {name: arena.device((batch,), np.float32) for name in names}
        self._step_loss = arena.device((batch,), np.float32)
        iterations = max(spec.search.iterations, 1)
        self.trace = arena.device((iterations, batch), np.float32)
        self._corrections = arena.constant(tile_launches.adam_corrections(iterations, spec.search.learning_rate))
        self._iteration = arena.device((1,), np.int32)  # a loop counts it up
        self._every_iteration = arena.constant(np.arange(iterations, dtype=np.int32))  # where there is no loop

        self.patch_logits: DeviceArray | None = None
        patch_logits_of_frame: dict[str, DeviceArray] = {}
        # Nobody reads these, but an engine needs memory for every output.
        patch_logits_of_reconstruction: dict[str, DeviceArray] = {}
        if spec.patch_shape is not None:
            self.patch_logits = arena.device((batch, *spec.patch_shape), np.float32)
            patch_logits_of_frame = {"patch_logits": self.patch_logits}
            if self._judges:
                patch_logits_of_reconstruction = {"patch_logits": arena.device(self.patch_logits.shape, np.float32)}

        def call(graph: str, **memory: DeviceArray) -> Callable[[cuda.Stream], None]:
            addresses = {port: array.address for port, array in memory.items()}
            return engines[graph].bind(addresses, {port: array.shape for port, array in memory.items()}).enqueue

        self._discriminate_tiles = call(
            DISCRIMINATOR,
            image=self.tiles,
            logit=self.tile_scores["logit_frame"],
            features=self._features_frame,
            **patch_logits_of_frame,
        )
        self._generate = call(GENERATOR, z=self.z, image=self.reconstruction)
        of_reconstruction = {"image": self.reconstruction, "features": self._features}
        if self._judges:
            of_reconstruction["logit"] = self.tile_scores["logit_reconstruction"]
            of_reconstruction |= patch_logits_of_reconstruction
        self._discriminate_reconstruction = call(DISCRIMINATOR if self._judges else FEATURES, **of_reconstruction)
        self._step = call(
            SEARCH_STEP,
            z=self.z,
            x=self.tiles,
            fx=self._features_frame,
            loss=self._step_loss,
            grad_z=self._gradient,
        )
        self._start: Callable[[cuda.Stream], None]
        if spec.search.init == "encoder":
            self._start = call(ENCODER, image=self.tiles, z=self.z)
        else:
            first = arena.constant(initial_latent(spec.search.seed, batch, spec.latent_size))
            self._start = partial(cuda.memcpy_dtod_async, self.z.address, first.address, first.nbytes)

    def warm_up(self, stream: cuda.Stream, loop: WhileLoop | None) -> None:
        """Run every engine once: TensorRT sets up at the first run, which must not happen during a capture.

        The engine of the search step also runs on the stream on which a loop's body will be captured.
        """
        for call in (
            self._discriminate_tiles,
            self._start,
            self._step,
            self._generate,
            self._discriminate_reconstruction,
        ):
            call(stream)
        stream.synchronize()
        if loop is not None:
            self._step(loop.stream)
            loop.stream.synchronize()

    def enqueue(self, stream: cuda.Stream, loop: WhileLoop | None) -> None:
        """Enqueue the whole search of the batch on `stream`, with a loop or unrolled, and return at once."""
        search = self._spec.search
        self._discriminate_tiles(stream)
        self._start(stream)
        for array in (self._m, self._v, self._iteration):
            cuda.memset_d8_async(array.address, 0, array.nbytes, stream)
        if loop is not None and search.iterations:
            counter = self._iteration.address
            loop.repeat(stream, partial(self._iterate, counter), counter, search.iterations)
        else:
            for iteration in range(search.iterations):
                self._iterate(self._every_iteration.address + iteration * self._every_iteration.dtype.itemsize, stream)
        self._generate(stream)
        self._discriminate_reconstruction(stream)
        self._run(self._sums(), stream)

    def step(self, z: Float, x: Float, fx: Float, stream: cuda.Stream) -> tuple[Float, Float]:
        """One search step of K <= B rows, outside a search: loss [K] and grad_z [K, L]."""
        rows = len(z)
        for array, values in ((self.z, z), (self.tiles, x), (self._features_frame, fx)):
            filled = np.repeat(np.asarray(values[:1], array.dtype), self.batch, axis=0)
            filled[:rows] = values
            array.write(filled)
        self._step(stream)
        stream.synchronize()
        return self._step_loss.read()[:rows], self._gradient.read()[:rows]

    def _iterate(self, iteration: int, stream: cuda.Stream) -> None:
        """Enqueue the iteration whose number, an int32 counted from 0, is at this address."""
        self._step(stream)
        memory = (self.z, self._gradient, self._m, self._v, self._step_loss, self.trace)
        addresses = (*(array.address for array in memory), iteration, self._corrections.address)
        count = self.batch * self._spec.latent_size
        self._run(tile_launches.adam(*addresses, count=count, batch=self.batch), stream)

    def _sums(self) -> Launch:
        memory = (self._features_frame, self._features, self.tiles, self.reconstruction)
        scores = {name: array.address for name, array in self.tile_scores.items()}
        addresses = (
            *(array.address for array in memory),
            scores.get("logit_reconstruction", NOTHING),
            scores["feature_residual"],
            scores.get("loss", NOTHING),
        )
        return tile_launches.tile_sums(
            *addresses,
            batch=self.batch,
            feature_count=int(np.prod(self._features.shape[1:])),
            pixel_count=self._spec.channels * self._spec.tile_size**2,
            gamma=self._spec.search.gamma,
            lam=self._spec.search.lam,
        )
