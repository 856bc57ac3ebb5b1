"""Compare a package's trunk, in the runtimes of stations, with float64: the ONNX reference evaluator and PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import numpy.typing as npt
import onnx
import onnx.numpy_helper
import torch
from onnx.reference import ReferenceEvaluator

from export.check import Check, compare
from export.trunk import example_picture
from latentline.backends.openvino.trunk import OpenVinoTrunk
from latentline.package.model_package import TRUNK
from latentline.trunk.packaged import PackagedTrunk
from trainer.settings.trunk import TrunkConfig
from trainer.trunk.module import load_trunk

Float = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Features = Callable[[Float64], Float | Float64]  # [N, channels, H, W] in 0 … 255 -> [N, C, h, w]


def trunk_checks(trunk: PackagedTrunk, trained: TrunkConfig | None) -> Iterator[Check]:
    """All comparisons, on the picture of the test and another one.

    trained  section `trunk` of a checkpoint, whose network is a second oracle; None: no checkpoint
    Raises BackendError when the weights of that network are not here.
    """
    network = trunk.network
    other = example_picture(network.input_channels, network.height, network.width, seed=1)
    pictures = np.concatenate([trunk.test.image, other]).astype(np.float64)
    oracles: dict[str, Features] = {"the package's own networks": float64_graph(trunk.graph)}
    if trained is not None and trained.wanted:
        oracles["the checkpoint"] = _module(trained)
    runtimes = _runtimes(trunk)
    for index, (oracle, features) in enumerate(oracles.items()):
        truth = np.asarray(features(pictures), np.float64)
        if not index:
            yield compare(f"trunk.npz (test_features) and {oracle}", trunk.test.features[None], truth[:1])
        for name, run in runtimes.items():
            yield compare(f"{TRUNK} in {name} and {oracle}", run(pictures), truth)


def float64_graph(content: bytes) -> Features:
    """A graph of one input and one output, evaluated node by node in float64."""
    model = onnx.load_from_string(content)
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT:
            exact = onnx.numpy_helper.to_array(tensor).astype(np.float64)
            tensor.CopyFrom(onnx.numpy_helper.from_array(exact, tensor.name))
    evaluator = ReferenceEvaluator(model)
    port = model.graph.input[0].name

    def run(pictures: Float64) -> Float64:
        return np.concatenate([evaluator.run(None, {port: picture[None]})[0] for picture in pictures])

    return run


def _module(trained: TrunkConfig) -> Features:
    module = load_trunk(trained)[0].double()

    def run(pictures: Float64) -> Float64:
        with torch.no_grad():
            return np.asarray(module(torch.from_numpy(pictures)).numpy())

    return run


def _runtimes(trunk: PackagedTrunk) -> Mapping[str, Features]:
    opened = OpenVinoTrunk(trunk)
    runtimes: dict[str, Features] = {"OpenVINO": lambda pictures: opened.run(pictures.astype(np.float32))}
    try:
        import onnxruntime
    except ImportError:
        return runtimes
    session = onnxruntime.InferenceSession(trunk.graph, providers=["CPUExecutionProvider"])
    runtimes["ONNX Runtime"] = lambda pictures: np.asarray(
        session.run(["features"], {"image": pictures.astype(np.float32)})[0]
    )
    return runtimes
