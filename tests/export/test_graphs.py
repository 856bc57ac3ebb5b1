"""The ONNX graphs: right in both runtimes, every weight once, nothing that is not used."""

import itertools
from dataclasses import replace
from functools import cache

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from export.first_look import export_first_look
from export.graphs import export_discriminator, export_graphs, to_onnx
from export.package import export_model
from export.search_step import SearchStep
from latentline.backends.openvino.searcher import OpenVinoSearcher
from latentline.package.model_package import DISCRIMINATOR, FIRST_LOOK, GENERATOR, SEARCH_STEP, SearchModel
from tests.exports import export_once
from tests.packages import LATENT, SEARCH, SIZE, networks, points, tiny_model
from trainer.data.settings import Flip
from trainer.reference.search import loss_and_gradient

DERIVED_SMALL = 16  # elements; constants such as slopes, axes and the 4x3 spreading matrix


def relative(found: np.ndarray, true: np.ndarray) -> float:
    return float(np.linalg.norm(found - true) / np.linalg.norm(true))


def weights(content: bytes) -> list[np.ndarray]:
    tensors = [onnx.numpy_helper.to_array(i) for i in onnx.load_from_string(content).graph.initializer]
    return [t for t in tensors if t.size > DERIVED_SMALL and t.dtype == np.float32]


@pytest.mark.parametrize("patch_size", [2, 4])
def test_step_of_patches_equals_oracle_in_both_runtimes(patch_size: int) -> None:
    """Outermost layers that see patches: loss and gradient equal autograd in float64."""
    shape = 32, 1, 8, 256, 16
    model = export_model(*networks(*shape, patch_size=patch_size, patch_head=patch_size == 2), None, SEARCH)
    generator, discriminator = networks(*shape, patch_size=patch_size, patch_head=patch_size == 2)
    generator.double(), discriminator.double()
    searcher = OpenVinoSearcher(model, threads=1)
    for seed in (1, 2):
        z, x = points(*shape[:3], 3, seed)
        fx = discriminator(x)[1]
        true = [t.numpy() for t in loss_and_gradient(generator, discriminator, z, x, fx, 0.1, 0.1)]
        inputs = {k: v.numpy().astype(np.float32) for k, v in {"z": z, "x": x, "fx": fx}.items()}
        for found in (
            searcher.step(**inputs),
            onnxruntime.InferenceSession(model.graphs[SEARCH_STEP]).run(["loss", "grad_z"], inputs),
        ):
            assert relative(found[0], true[0]) < 1e-5
            assert np.median([relative(f, t) for f, t in zip(found[1], true[1], strict=True)]) < 1e-4
    searcher.close()


@pytest.fixture(scope="module")
def square() -> SearchModel:
    """A model all of whose convolutions are square, where OpenVINO 2026.4.1 mistakes shared constants."""
    return export_once(*networks(32, 3, 8, 1024, 16), None, SEARCH)


@pytest.mark.parametrize("runtime", ["OpenVINO", "ONNX Runtime"])
def test_step_equals_oracle_in_both_runtimes(square: SearchModel, runtime: str) -> None:
    """Loss and gradient at several different inputs, batch sizes 1 and 3, equal autograd in float64."""
    generator, discriminator = networks(32, 3, 8, 1024, 16)
    generator.double(), discriminator.double()
    for count, seed in ((3, 1), (3, 2), (1, 3)):
        z, x = points(32, 3, 8, count, seed)
        fx = discriminator(x)[1]
        true = [t.numpy() for t in loss_and_gradient(generator, discriminator, z, x, fx, 0.1, 0.1)]
        inputs = {k: v.numpy().astype(np.float32) for k, v in {"z": z, "x": x, "fx": fx}.items()}
        if runtime == "OpenVINO":
            searcher = OpenVinoSearcher(square, threads=1)
            found = searcher.step(**inputs)
            searcher.close()
        else:
            found = onnxruntime.InferenceSession(square.graphs[SEARCH_STEP]).run(["loss", "grad_z"], inputs)
        assert relative(found[0], true[0]) < 1e-5
        assert np.median([relative(f, t) for f, t in zip(found[1], true[1], strict=True)]) < 1e-4
        assert relative(found[1], true[1]) < 2e-3  # an activation within float32 of zero may take the other slope


@cache
def of_one_view() -> bytes:
    """The discriminator of the next test without mirror images."""
    return export_discriminator(networks(32, 3, 8, 1024, 16, patch_head=True)[1])


@pytest.mark.parametrize("flips", [("horizontal",), ("horizontal", "vertical")])
def test_logits_averaged_over_mirror_images_are_the_mean_in_both_runtimes(
    square: SearchModel, flips: tuple[Flip, ...]
) -> None:
    """Logits are the float64 means of D over all mirrorings by NumPy, features those of the image; weights stay one."""
    _, discriminator = networks(32, 3, 8, 1024, 16, patch_head=True)
    graph = export_discriminator(discriminator, flips)
    discriminator.double()
    x = points(32, 3, 8, 3)[1]
    axes = {"horizontal": -1, "vertical": -2}
    chosen = itertools.product((False, True), repeat=len(flips))
    turned = [tuple(axes[f] for f, used in zip(flips, view, strict=True) if used) for view in chosen]
    assert len(turned) == 2 ** len(flips)
    logits, patches = [], []
    for view in turned:
        logit, _, patch_logits = discriminator.outputs(
            torch.from_numpy(np.flip(x.numpy(), view).copy()), patch_head=True
        )
        assert patch_logits is not None
        logits.append(logit.numpy())
        patches.append(np.flip(patch_logits.numpy(), view))
    true = {"logit": np.mean(logits, 0), "features": discriminator(x)[1].numpy(), "patch_logits": np.mean(patches, 0)}
    spec = square.spec.model_copy(update={"patch_shape": patches[0].shape[1:], "first_look": False})
    searcher = OpenVinoSearcher(replace(square, spec=spec, graphs={**square.graphs, DISCRIMINATOR: graph}), threads=1)
    image = x.numpy().astype(np.float32)
    found = searcher.run(DISCRIMINATOR, {"image": image})
    searcher.close()
    session = onnxruntime.InferenceSession(graph)
    for name, other in zip(true, session.run(list(true), {"image": image}), strict=True):
        assert relative(found[name], true[name]) < 1e-5
        assert relative(other, true[name]) < 1e-5
    assert sum(w.size for w in weights(graph)) == sum(w.size for w in weights(of_one_view()))


def test_averaged_logits_do_not_steer_a_search() -> None:
    """With D(G(z)) in L' the packaged logit would not be the one that the search step follows."""
    with pytest.raises(ValueError, match="set gamma to 1"):
        export_model(*networks(), None, SEARCH, ("horizontal",))


@pytest.mark.parametrize("name", [GENERATOR, DISCRIMINATOR, SEARCH_STEP])
def test_every_weight_is_stored_once(square: SearchModel, name: str) -> None:
    """No weight is in a graph twice: not as it is, not transposed, not flipped."""
    seen: set[bytes] = set()
    for weight in weights(square.graphs[name]):
        layouts = {
            np.flip(weight.transpose(axes), flipped).tobytes()
            for axes in itertools.permutations(range(weight.ndim))
            for k in range(weight.ndim + 1)
            for flipped in itertools.combinations(range(weight.ndim), k)
        }
        assert not layouts & seen
        seen |= layouts


def test_no_weight_is_stored_that_is_not_used(square: SearchModel) -> None:
    """The step holds exactly the weights of the last stage; heads of earlier stages are not there."""
    generator, discriminator = networks(32, 3, 8, 1024, 16)
    used = [*generator.named_parameters(prefix="to"), *discriminator.named_parameters(prefix="from")]
    last = f"{generator.last_stage}."
    sizes = [p.numel() for name, p in used if not ("_image." in name and last not in name)]
    maps = discriminator.conv.weight.shape[0]
    sizes_folded = sum(sizes) - 9 * maps - maps + 16 * maps  # stddev channel and bias of the last convolution: a map
    small = [i for i in onnx.load_from_string(square.graphs[SEARCH_STEP]).graph.initializer if "weight" in i.name]
    biases = [i for i in onnx.load_from_string(square.graphs[SEARCH_STEP]).graph.initializer if "bias" in i.name]
    assert sum(int(np.prod(i.dims)) for i in small + biases) == sizes_folded


@pytest.mark.parametrize(
    ("name", "inputs", "outputs"),
    [
        (GENERATOR, ["z"], ["image"]),
        (DISCRIMINATOR, ["image"], ["logit", "features"]),
        (SEARCH_STEP, ["z", "x", "fx"], ["loss", "grad_z"]),
    ],
)
def test_names_and_batch_are_fixed(name: str, inputs: list[str], outputs: list[str]) -> None:
    """Inputs and outputs carry the names of the contract, and their first dimension is `batch`."""
    graph = onnx.load_from_string(tiny_model().graphs[name]).graph
    assert [port.name for port in graph.input] == inputs
    assert [port.name for port in graph.output] == outputs
    for port in [*graph.input, *graph.output]:
        assert port.type.tensor_type.shape.dim[0].dim_param == "batch"


def test_terms_of_weight_zero_are_not_computed() -> None:
    """AnoGAN's gamma = 1 leaves the discriminator's head out of the graph."""
    whole = tiny_model().graphs[SEARCH_STEP]
    generator, discriminator = networks()
    z, x = (value.float() for value in points(SIZE, 1, LATENT, 2))
    inputs = {"z": z, "x": x, "fx": discriminator(x)[1]}
    step = SearchStep(generator, discriminator, 1.0, 0.1)
    without = onnx.load_from_string(to_onnx(step, inputs, ["loss", "grad_z"])).graph
    assert not any("discriminator.dense" in i.name or "discriminator.out" in i.name for i in without.initializer)
    assert len(without.node) < len(onnx.load_from_string(whole).graph.node)


def test_export_is_deterministic_and_silent(capfd: pytest.CaptureFixture[str]) -> None:
    """The same networks give the same bytes, nothing of this machine, nothing printed or changed."""
    generator, discriminator = networks()
    before = {k: v.clone() for k, v in [*generator.state_dict().items(), *discriminator.state_dict().items()]}
    first = tiny_model().graphs
    capfd.readouterr()
    again = {**export_graphs(generator, discriminator, 0.1, 0.1), FIRST_LOOK: export_first_look(discriminator)}
    assert again == first
    assert capfd.readouterr() == ("", "")
    assert not any(b".py" in content for content in first.values())
    after = dict([*generator.state_dict().items(), *discriminator.state_dict().items()])
    assert all(torch.equal(before[k], after[k]) for k in before)
