"""The CPU searcher equals the reference, tile by tile, and refuses what it cannot run."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import openvino as ov
import pytest
import torch

from latentline.backends.openvino.searcher import OpenVinoSearcher
from latentline.errors import PackageError, VerificationError
from latentline.package.model_package import SEARCH_STEP
from latentline.search.searcher import SearchResult
from latentline.vision.preprocessing import to_model_range
from tests.packages import SEARCH, SIZE, networks, tiny_model
from trainer.reference.search import reference_search, search_loss
from trainer.reference.searcher import initial_latent


@pytest.fixture(scope="module")
def searcher() -> Iterator[OpenVinoSearcher]:
    """A searcher of the tiny model on two threads."""
    searcher = OpenVinoSearcher(tiny_model(), threads=2)
    yield searcher
    searcher.close()


def fields(result: SearchResult) -> dict[str, np.ndarray]:
    """The fields that this model has."""
    return {name: array for name, array in vars(result).items() if array is not None}


def tiles(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, SIZE, SIZE, 1), dtype=np.uint8)


@pytest.mark.parametrize("iterations", [0, 7])
def test_a_searcher_with_other_iterations_equals_one_that_was_opened_so(
    searcher: OpenVinoSearcher, iterations: int
) -> None:
    """And the first one still has its own."""
    before = fields(searcher.search(tiles(2)))
    spec = tiny_model().spec
    search = spec.search.model_copy(update={"iterations": iterations})
    opened = OpenVinoSearcher(replace(tiny_model(), spec=spec.model_copy(update={"search": search})), threads=2)
    expected = fields(opened.search(tiles(2)))
    opened.close()
    found = fields(searcher.with_iterations(iterations).search(tiles(2)))
    after = fields(searcher.search(tiles(2)))
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values)
        np.testing.assert_array_equal(after[name], before[name])
    assert not np.allclose(found["z"], before["z"])


def test_search_equals_the_reference(searcher: OpenVinoSearcher) -> None:
    """z, reconstruction, features, logits and loss equal those of PyTorch after the same iterations."""
    generator, discriminator = networks()
    x = torch.from_numpy(to_model_range(tiles(3)))
    z = initial_latent(SEARCH.seed, 3, generator.latent_size)
    s = SEARCH
    z = reference_search(generator, discriminator, x, z, s.iterations, s.learning_rate, s.gamma, s.lam)
    found = searcher.search(tiles(3))
    np.testing.assert_allclose(found.z, z, rtol=1e-3, atol=1e-4)
    with torch.no_grad():
        logit_frame, fx = discriminator(x)
        image = generator(z)
        logit, features = discriminator(image)
        loss = search_loss(generator, discriminator, z, x, fx, s.gamma, s.lam)
    np.testing.assert_allclose(found.reconstruction, image, atol=1e-3)
    assert found.feature_residual is not None and found.loss is not None
    assert found.logit_reconstruction is not None and found.logit_frame is not None
    np.testing.assert_allclose(found.feature_residual, (fx - features).abs().sum((1, 2, 3)), rtol=1e-3)
    np.testing.assert_allclose(found.logit_reconstruction, logit, atol=1e-3)
    np.testing.assert_allclose(found.logit_frame, logit_frame, atol=1e-5)
    np.testing.assert_allclose(found.loss, loss, rtol=1e-3)


def test_tiles_do_not_influence_one_another(searcher: OpenVinoSearcher) -> None:
    """A tile's result is the same alone, in a batch, and at another place in the batch."""
    together, reversed_ = searcher.search(tiles(5)), searcher.search(tiles(5)[::-1])
    for i in range(5):
        alone = searcher.search(tiles(5)[i : i + 1])
        for name, values in fields(alone).items():
            np.testing.assert_allclose(getattr(together, name)[i], values[0], rtol=1e-5, atol=1e-6)
            np.testing.assert_allclose(getattr(reversed_, name)[4 - i], values[0], rtol=1e-5, atol=1e-6)


def test_search_is_deterministic(searcher: OpenVinoSearcher) -> None:
    """The same tiles give the same bits, also from another searcher."""
    first = searcher.search(tiles(3))
    again = OpenVinoSearcher(tiny_model(), threads=2)
    for other in (searcher.search(tiles(3)), again.search(tiles(3))):
        assert all(np.array_equal(values, getattr(other, name)) for name, values in fields(first).items())
    again.close()


def test_shapes_and_types(searcher: OpenVinoSearcher) -> None:
    """Every field is float32 and has the shape that the contract states."""
    result = searcher.search(tiles(4))
    assert tiny_model().spec.feature_shape == (8, 4, 4)
    assert result.z.shape == (4, 6)
    assert result.reconstruction.shape == (4, 1, SIZE, SIZE)
    assert len(fields(result)) == 6
    assert all(values.shape[0] == 4 for values in fields(result).values())
    assert {values.dtype for values in fields(result).values()} == {np.dtype(np.float32)}


def test_other_tile_shapes_are_an_error(searcher: OpenVinoSearcher) -> None:
    """Tiles of another size, and no tiles at all, are refused."""
    for wrong in (tiles(1)[:, :8], np.repeat(tiles(1), 3, axis=3), tiles(2)[:0]):
        with pytest.raises(ValueError, match="tiles must be"):
            searcher.search(wrong)


def test_self_test_is_far_below_its_limit(searcher: OpenVinoSearcher) -> None:
    """A correct graph is as precise as float32."""
    assert searcher.self_test() < 1e-5


def test_requests_run_first_on_the_opening_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every request first runs on the opening thread, because two first runs at once can deadlock."""
    threads: dict[int, list[int]] = {}
    create = ov.CompiledModel.create_infer_request

    class Recorded:
        def __init__(self, request: ov.InferRequest) -> None:
            self.request = request

        def infer(self, *args: Any, **options: Any) -> Any:
            threads.setdefault(id(self), []).append(threading.get_ident())
            return self.request.infer(*args, **options)

    monkeypatch.setattr(ov.CompiledModel, "create_infer_request", lambda model: Recorded(create(model)))
    searcher = OpenVinoSearcher(tiny_model(), threads=2)
    searcher.search(tiles(3))
    searcher.close()
    assert len(threads) == 6
    assert {ran[0] for ran in threads.values()} == {threading.get_ident()}
    assert any(set(ran) - {threading.get_ident()} for ran in threads.values())


def test_self_test_refuses_another_search_step() -> None:
    """A search step that computes something else is refused."""
    model = onnx.load_from_string(tiny_model().graphs[SEARCH_STEP])
    weight = next(i for i in model.graph.initializer if i.name == "generator.layers.1.weight")
    weight.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(weight) * np.float32(1.02), weight.name))
    graphs = {**tiny_model().graphs, SEARCH_STEP: model.SerializeToString()}
    with pytest.raises(VerificationError, match="computes wrong numbers"):
        OpenVinoSearcher(replace(tiny_model(), graphs=graphs), threads=1)


def test_graphs_of_another_shape_are_refused() -> None:
    """A graph with other inputs than the manifest's is refused, and the sentence has both."""
    spec = tiny_model().spec.model_copy(update={"latent_size": 7})
    with pytest.raises(PackageError, match=r"generator.onnx: inputs are z \[\?,6\].*needs z \[\?,7\]"):
        OpenVinoSearcher(replace(tiny_model(), spec=spec), threads=1)


def test_bytes_that_are_no_graph_are_refused() -> None:
    """Garbage instead of a graph is refused in one sentence that names the file."""
    graphs = {**tiny_model().graphs, SEARCH_STEP: b"garbage"}
    with pytest.raises(PackageError, match=r"search_step\.onnx: not a graph"):
        OpenVinoSearcher(replace(tiny_model(), graphs=graphs), threads=1)


@pytest.mark.parametrize("iterations", [0, 3])
def test_components_that_nobody_looks_at_are_left_out(searcher: OpenVinoSearcher, iterations: int) -> None:
    """Without D's verdict on the reconstruction everything else is the same."""
    spec = tiny_model().spec
    search = spec.search.model_copy(update={"iterations": iterations})
    model = replace(tiny_model(), spec=spec.model_copy(update={"search": search}))
    whole = fields(searcher.with_iterations(iterations).search(tiles(5)))
    for components in (["feature", "d_frame"], ["d_frame", "loss"]):
        brief = OpenVinoSearcher(model, threads=2, components=components)
        found = fields(brief.search(tiles(5)))
        brief.close()
        for name, values in found.items():
            np.testing.assert_allclose(values, whole[name], rtol=1e-5, atol=1e-6)
        left_out = set() if "loss" in components else {"logit_reconstruction", "loss"}
        assert whole.keys() - found.keys() == left_out


@pytest.mark.parametrize("count", [1, 2, 31, 33, 35])
def test_tiles_that_share_a_request_have_the_same_results(searcher: OpenVinoSearcher, count: int) -> None:
    """Without iterations a request takes several tiles; any number of tiles has a row each, and a row is its tile's."""
    together = fields(searcher.with_iterations(0).search(tiles(count)))
    for place in {0, count // 2, count - 1}:
        alone = fields(searcher.with_iterations(0).search(tiles(count)[place : place + 1]))
        for name, values in together.items():
            assert len(values) == count
            np.testing.assert_allclose(values[place], alone[name][0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("able", [True, False])
def test_half_is_for_networks_alone_where_the_processor_has_it(able: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The search step stays in float32, and everything does where the processor has no bfloat16."""
    hints: dict[str, set[str]] = {}
    compile_model = ov.Core.compile_model

    def compiled(core: ov.Core, graph: ov.Model, device: str, config: dict[str, Any]) -> ov.CompiledModel:
        inputs = " ".join(sorted(port.any_name for port in graph.inputs))
        hints.setdefault(inputs, set()).add(config["INFERENCE_PRECISION_HINT"])
        return compile_model(core, graph, device, {**config, "INFERENCE_PRECISION_HINT": "f32"})

    monkeypatch.setattr("latentline.backends.openvino.searcher.has_bfloat16", lambda: able)
    monkeypatch.setattr(ov.Core, "compile_model", compiled)
    half = OpenVinoSearcher(tiny_model(), threads=1, half=True)
    half.search(tiles(1))
    half.close()
    network = {"bf16"} if able else {"f32"}
    assert hints == {"fx x z": {"f32"}, "image": network, "z": network}
