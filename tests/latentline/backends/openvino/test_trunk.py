"""The trunk on the CPU gives the features of PyTorch, and refuses a graph that computes something else."""

from dataclasses import replace

import numpy as np
import pytest

from latentline.backends.openvino.trunk import OpenVinoTrunk
from latentline.errors import PackageError, VerificationError
from latentline.trunk.extractor import trunk_picture
from tests.trunks import SIDE, tiny_graph, tiny_trunk
from trainer.trunk.extractor import TorchTrunk


@pytest.mark.parametrize("shape", [(40, 50), (200, 90, 1), (64, 64, 3), (70, 30, 4)])
def test_features_are_those_of_pytorch(shape: tuple[int, ...]) -> None:
    """For frames of any size and number of channels."""
    frame = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
    trunk = OpenVinoTrunk(tiny_graph(), threads=1)
    expected = TorchTrunk(*tiny_trunk()).features(frame)
    assert np.allclose(trunk.features(frame), expected, atol=1e-4)
    assert expected.shape == (15, SIDE // 16, SIDE // 16) and trunk.self_test() < 1e-5
    trunk.close()


def test_wrong_numbers_are_refused() -> None:
    """Opening runs the self-test, also against features that are not numbers."""
    graph = tiny_graph()
    for wrong in (graph.test.features * np.float32(1.01), np.full_like(graph.test.features, np.nan)):
        with pytest.raises(VerificationError, match=r"trunk\.onnx computes wrong numbers here"):
            OpenVinoTrunk(replace(graph, test=replace(graph.test, features=wrong)), threads=1)


def test_a_foreign_graph_is_refused() -> None:
    """One that cannot be read, and one whose ports are not the manifest's."""
    graph = tiny_graph()
    with pytest.raises(PackageError, match=r"trunk\.onnx: not a graph that this station can run"):
        OpenVinoTrunk(replace(graph, graph=b"nonsense"), threads=1)
    other = graph.network.model_copy(update={"features": 14})
    with pytest.raises(PackageError, match=r"trunk\.onnx: has features .*export the package again"):
        OpenVinoTrunk(replace(graph, network=other), threads=1)


def test_pictures_keep_the_order_of_the_weights() -> None:
    """BGR becomes RGB, grey is repeated, alpha is dropped; a grey trunk sees colours as OpenCV greys them."""
    blue = np.zeros((8, 8, 3), np.uint8)
    blue[:, :, 0] = 200
    assert trunk_picture(blue, 32, 32, 3)[0, :, 0, 0].tolist() == [0, 0, 200]
    alpha = np.concatenate([blue, np.full((8, 8, 1), 9, np.uint8)], axis=2)
    assert np.array_equal(trunk_picture(alpha, 32, 32, 3), trunk_picture(blue, 32, 32, 3))
    grey = np.full((8, 8), 7, np.uint8)
    assert np.array_equal(trunk_picture(grey, 32, 32, 3), np.full((1, 3, 32, 32), 7, np.float32))
    assert trunk_picture(blue, 32, 64, 1).shape == (1, 1, 32, 64) and trunk_picture(blue, 32, 32, 1)[0, 0, 0, 0] == 23
