"""A searcher that emulates on the CPU what the engines of a precision compute on a GPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from latentline.backends.adam import adam_search, initial_latent
from latentline.backends.settings import Precision
from latentline.backends.tensorrt.graphs.prepare import prepare_graph
from latentline.backends.tensorrt.graphs.rounding import emulate_rounding
from latentline.errors import BackendError
from latentline.package.manifest import ModelSpec
from latentline.package.model_package import (
    DISCRIMINATOR,
    ENCODER,
    FIRST_LOOK,
    GENERATOR,
    SEARCH_STEP,
    SearchModel,
)
from latentline.search.first_look import FirstLook, look_frame
from latentline.search.searcher import SearchResult
from latentline.vision.preprocessing import to_model_range

Float = npt.NDArray[np.float32]
UInt8 = npt.NDArray[np.uint8]


class RoundedSearcher:
    """`Searcher` in ONNX Runtime with the rounding of `precision`.

    on_step  called after each search step, from the thread that searches
    Several threads may use it at a time. Raises EngineError for a graph that cannot be prepared, BackendError where
    onnxruntime is not installed.
    """

    name = "rounded"

    def __init__(self, model: SearchModel, precision: Precision, on_step: Callable[[], None] | None = None) -> None:
        self._spec: ModelSpec = model.spec
        self._on_step = on_step
        self._graphs = {
            name: _session(emulate_rounding(prepare_graph(content, name, precision)))
            for name, content in model.graphs.items()
        }

    def search(self, tiles: UInt8) -> SearchResult:
        """Search all tiles, uint8 [N, H, W, C], one after the other."""
        x = to_model_range(tiles)
        results = [self._search_one(x[i : i + 1]) for i in range(len(x))]
        return SearchResult(**{name: np.concatenate([r[name] for r in results]) for name in results[0]})

    def look(self, prepared: UInt8) -> FirstLook:
        """As `LookingSearcher.look`."""
        names = ["logit"] if self._spec.patch_shape is None else ["logit", "patch_logits"]
        image = to_model_range(look_frame(prepared, self._spec.tile_size)[None])
        return FirstLook(*(output[0] for output in self._graphs[FIRST_LOOK].run(names, {"image": image})))

    def step(self, z: Float, x: Float, fx: Float) -> tuple[Float, Float]:
        """Loss [1] and grad_z [1, L] of one tile."""
        loss, grad_z = self._graphs[SEARCH_STEP].run(["loss", "grad_z"], {"z": z, "x": x, "fx": fx})
        if self._on_step is not None:
            self._on_step()
        return loss, grad_z

    def discriminate(self, x: Float) -> tuple[Float, Float]:
        """Logit [1] and features [1, maps, 4, 4] of one image."""
        of_tile = self._discriminate(x)
        return of_tile["logit"], of_tile["features"]

    def generate(self, z: Float) -> Float:
        """G(z) of one latent: [1, L] -> [1, C, H, W]."""
        image: Float = self._graphs[GENERATOR].run(["image"], {"z": z})[0]
        return image

    def start(self, x: Float) -> Float:
        """The first z [1, L] of a tile."""
        if ENCODER in self._graphs:
            z: Float = self._graphs[ENCODER].run(["z"], {"image": x})[0]
            return z
        return initial_latent(self._spec.search.seed, 1, self._spec.latent_size)

    def close(self) -> None:
        """Release the graphs."""
        self._graphs.clear()

    def _discriminate(self, x: Float) -> dict[str, Float]:
        """All outputs of D for one image."""
        names = ["logit", "features"] if self._spec.patch_shape is None else ["logit", "features", "patch_logits"]
        return dict(zip(names, self._graphs[DISCRIMINATOR].run(names, {"image": x}), strict=True))

    def _search_one(self, x: Float) -> dict[str, Float]:
        search = self._spec.search
        of_tile = self._discriminate(x)
        features = of_tile["features"]
        z = adam_search(lambda z: self.step(z, x, features)[1], self.start(x), search.iterations, search.learning_rate)
        reconstruction = self.generate(z)
        logit, of_reconstruction = self.discriminate(reconstruction)
        found = {
            "z": z,
            "reconstruction": reconstruction,
            "feature_residual": np.abs(features - of_reconstruction).sum(axis=(1, 2, 3)),
            "logit_reconstruction": logit,
            "logit_frame": of_tile["logit"],
            "loss": self.step(z, x, features)[0],
        }
        return found if self._spec.patch_shape is None else {**found, "patch_logits": of_tile["patch_logits"]}


def _session(graph: bytes) -> Any:
    try:
        import onnxruntime
    except ImportError:
        raise BackendError(
            "onnxruntime is not installed; fp16 is checked with it: pip install 'latentline[gpu]'"
        ) from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
