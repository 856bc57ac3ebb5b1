"""A package's trunk on the CPU: OpenVINO, float32, once for each frame."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from latentline.backends.openvino.searcher import usable_cores
from latentline.backends.openvino.silence import without_telemetry
from latentline.backends.selftest_check import check_trunk
from latentline.errors import PackageError
from latentline.package.model_package import TRUNK, ModelPackage
from latentline.trunk.extractor import trunk_picture
from latentline.trunk.packaged import TrunkGraph

with without_telemetry():
    import openvino as ov

Float = npt.NDArray[np.float32]
UInt8 = npt.NDArray[np.uint8]


class OpenVinoTrunk:
    """`FeatureExtractor` on the CPU. One thread at a time may use it.

    threads  CPU threads; None: all cores that this process may use
    Opening compiles the graph and runs its self-test. Raises PackageError when the graph cannot be used, and
    VerificationError when it fails the self-test.
    """

    name = "openvino"

    def __init__(self, trunk: TrunkGraph, threads: int | None = None) -> None:
        self._network, self._test = trunk.network, trunk.test
        config = {
            "INFERENCE_PRECISION_HINT": "f32",
            "INFERENCE_NUM_THREADS": threads or usable_cores(),
            "PERFORMANCE_HINT": "LATENCY",
        }
        compiled = ov.Core().compile_model(_read_graph(trunk), "CPU", config)
        self._request = compiled.create_infer_request()
        self.self_test()

    def features(self, frame: UInt8) -> Float:
        """As `FeatureExtractor.features`."""
        network = self._network
        picture = trunk_picture(frame, network.height, network.width, network.input_channels)
        return np.asarray(self.run(picture)[0])

    def run(self, image: Float) -> Float:
        """Features [N, C, h, w] of pictures [N, channels, H, W] in 0 … 255, computed one by one."""
        rows = (self._request.infer({"image": image[i : i + 1]}, share_inputs=True) for i in range(len(image)))
        return np.concatenate([np.array(row["features"]) for row in rows])

    def self_test(self) -> float:
        """Relative error on the trunk's self-test. Raises VerificationError when it is too large."""
        return check_trunk(self.run, self._test)

    def close(self) -> None:
        """Release the graph."""
        del self._request


def open_trunk(package: ModelPackage, threads: int | None = None) -> OpenVinoTrunk | None:
    """The trunk of a package; None where it has none. Raises as `OpenVinoTrunk`."""
    return None if package.trunk is None else OpenVinoTrunk(package.trunk, threads)


def _read_graph(trunk: TrunkGraph) -> Any:
    """The graph, for one frame. Raises PackageError when its input or output are not the manifest's."""
    network = trunk.network
    try:
        graph = ov.Core().read_model(trunk.graph)
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise PackageError(f"{TRUNK}: not a graph that this station can run ({reason}); export it again") from None
    wanted = {
        "image": [-1, network.input_channels, network.height, network.width],
        "features": [-1, network.features, *network.grid],
    }
    found = {port.any_name: port.partial_shape for port in (*graph.inputs, *graph.outputs)}
    if found != {name: ov.PartialShape(shape) for name, shape in wanted.items()}:
        described = ", ".join(f"{name} {shape}" for name, shape in sorted(found.items()))
        raise PackageError(f"{TRUNK}: has {described}, and the manifest needs {wanted}; export the package again")
    graph.reshape({"image": [1, *wanted["image"][1:]]})
    return graph
