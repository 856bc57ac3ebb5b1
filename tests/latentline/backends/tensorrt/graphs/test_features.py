"""D's features alone: the same numbers, without the work that only the verdict needs."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime

from bench.roofline.graph_cost import graph_cost
from latentline.backends.tensorrt.graphs.features import FEATURES, features_alone, graphs_for
from latentline.package.model_package import DISCRIMINATOR, ModelPackage
from tests.packages import scored


def test_the_features_are_those_of_d(demo: ModelPackage) -> None:
    """To the bit in ONNX Runtime; mirror images, verdict and patch head are gone, and much of the work with them."""
    whole = demo.graphs[DISCRIMINATOR]
    alone = features_alone(whole)
    x = np.random.default_rng(0).uniform(-1, 1, (2, 1, 64, 64)).astype(np.float32)
    found, expected = (
        onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"]).run(["features"], {"image": x})[0]
        for graph in (alone, whole)
    )
    np.testing.assert_array_equal(found, expected)
    assert [port.name for port in onnx.load_from_string(alone).graph.output] == ["features"]
    assert len(alone) < len(whole)
    costs = [graph_cost(graph, DISCRIMINATOR, 1, "fp32").multiply_adds for graph in (alone, whole)]
    assert costs[0] < 0.6 * costs[1]


def test_only_a_score_without_the_verdict_has_them(demo: ModelPackage) -> None:
    """A score of D's verdict on the frame needs no more; the paper's loss or D's verdict on G(ẑ) needs all of D."""
    assert set(graphs_for(scored(demo, "d_frame"))) == {*demo.graphs, FEATURES}
    for component in ("loss", "d_reconstruction"):
        assert set(graphs_for(scored(demo, "d_frame", component))) == set(demo.graphs)
