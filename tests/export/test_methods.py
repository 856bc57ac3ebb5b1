"""Every method goes through the same package, and the station finds what the trainer's reference finds."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from export.autoencoder import folded
from export.package import ModelCard, write_model_package
from export.verify import verify_package
from latentline.backends.openvino.searcher import OpenVinoSearcher
from latentline.backends.selftest_check import check_forward
from latentline.errors import VerificationError
from latentline.package.model_package import DISCRIMINATOR, ENCODER, FIRST_LOOK, GENERATOR, SEARCH_STEP, load_package
from latentline.package.selftest import ForwardTest
from latentline.scoring.calibrate import calibrate
from latentline.search.first_look import FirstLook
from latentline.search.searched_frame import MapKind
from latentline.search.searcher import SearchResult
from latentline.search.tiler import FrameTiler
from latentline.vision.preprocessing import Preprocessing
from tests.checkpoints import METHODS, SIZE, exported, random_checkpoint
from tests.packages import rewrite
from trainer.config import TrainConfig
from trainer.networks.autoencoder import ConvDecoder, ConvEncoder
from trainer.reference.searcher import ReferenceSearcher

FILES = {
    "noisy_anogan": {GENERATOR, DISCRIMINATOR, SEARCH_STEP, FIRST_LOOK},
    "finetuned": {GENERATOR, DISCRIMINATOR, SEARCH_STEP, FIRST_LOOK},
    "f_anogan": {GENERATOR, DISCRIMINATOR, SEARCH_STEP, ENCODER, FIRST_LOOK},
    "autoencoder": {GENERATOR, ENCODER},
    "pca": {GENERATOR, ENCODER},
    "vae": {GENERATOR, ENCODER},
    "vae, mean": {GENERATOR, ENCODER},
    "anovaegan": {GENERATOR, DISCRIMINATOR, ENCODER, FIRST_LOOK},
}
OF_GAN = {"feature_residual", "logit_reconstruction", "logit_frame", "loss"}
FIELDS = {
    "noisy_anogan": OF_GAN | {"patch_logits"},
    "finetuned": OF_GAN | {"patch_logits"},
    "f_anogan": OF_GAN,
    "autoencoder": set(),
    "pca": set(),
    "vae": {"kl", "negative_log_likelihood"},
    "vae, mean": {"kl", "negative_log_likelihood"},
    "anovaegan": OF_GAN - {"loss"} | {"kl"},
}


def frames(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, SIZE, SIZE, 1), dtype=np.uint8)


def map_of(config: TrainConfig) -> MapKind:
    return "residual" if config.search.map == "auto" else config.search.map


def parts(result: SearchResult | FirstLook) -> dict[str, np.ndarray]:
    return {name: array for name, array in vars(result).items() if array is not None}


@pytest.fixture
def searcher(request: pytest.FixtureRequest) -> Iterator[OpenVinoSearcher]:
    searcher = OpenVinoSearcher(exported(request.param)[1], threads=1)
    yield searcher
    searcher.close()


def write(name: str, out: Path) -> Path:
    """The calibrated package of a method at `out`."""
    checkpoint, model = exported(name)
    searcher = OpenVinoSearcher(model, threads=1)
    kind = map_of(checkpoint.config)
    calibrated = calibrate(searcher, FrameTiler(Preprocessing(), SIZE, 0.25), frames(8), frames(9, 1), 0.1, map=kind)
    searcher.close()
    write_model_package(out, model, ModelCard("tiny", name, "0", Preprocessing(), 0.25), calibrated)
    return out


@pytest.mark.parametrize("name", METHODS)
def test_the_station_finds_what_the_reference_finds(name: str) -> None:
    """Graphs, fields and their numbers equal the reference's in PyTorch, for three tiles at once and for each alone."""
    checkpoint, model = exported(name)
    assert set(model.graphs) == FILES[name]
    searcher = OpenVinoSearcher(model, threads=2)
    found = parts(searcher.search(frames(3)))
    alone = parts(searcher.search(frames(3)[1:2]))
    frame = np.concatenate(frames(3))
    looked = parts(searcher.look(frame)) if FIRST_LOOK in model.graphs else {}
    searcher.close()
    config = checkpoint.config
    reference = ReferenceSearcher(checkpoint, config.search, config.unmeasured_iterations)
    expected = parts(reference.search(frames(3)))
    if looked:
        for field, values in parts(reference.look(frame)).items():
            np.testing.assert_allclose(looked[field], values, rtol=2e-3, atol=1e-3 * np.abs(values).max())
    assert set(found) == set(expected) == {"z", "reconstruction", *FIELDS[name]}
    for field, values in expected.items():
        assert found[field].dtype == np.float32 and found[field].shape == values.shape
        np.testing.assert_allclose(found[field], values, rtol=2e-3, atol=1e-3 * np.abs(values).max(), err_msg=field)
        np.testing.assert_allclose(alone[field][0], found[field][1], rtol=1e-4, atol=1e-5, err_msg=field)


@pytest.mark.parametrize("name", ["noisy_anogan", "finetuned", "autoencoder", "pca", "vae", "anovaegan"])
def test_package_is_verified_and_inspects_frames(name: str, tmp_path: Path) -> None:
    """Written, read and compared with the oracles in both runtimes; its inspector gives a finite score and map."""
    path = write(name, tmp_path / "package")
    checks = verify_package(path)
    assert all(check.passed and check.error < 2e-5 for check in checks)
    for runtime in ("OpenVINO", "ONNX Runtime"):
        for graph in FILES[name]:
            assert any(graph in check.what and runtime in check.what for check in checks)
    package = load_package(path)
    assert package.manifest.map == map_of(exported(name)[0].config)
    inspector = package.inspector(OpenVinoSearcher(package, threads=1))
    seen = inspector.inspect(frames(1, 5)[0])
    inspector.close()
    assert np.isfinite(seen.score) and seen.anomaly_map.shape == (SIZE, SIZE)


@pytest.mark.parametrize("name", ["autoencoder", "pca", "vae", "anovaegan"])
def test_altered_graph_is_noticed(name: str, tmp_path: Path) -> None:
    """Two per cent more in one layer: the searcher does not open, and verify fails, whatever the hashes say."""
    path = write(name, tmp_path / "package")
    for graph in sorted(FILES[name]):
        content = load_package(path).graphs[graph]
        model = onnx.load_from_string(content)
        weight = next(
            i for i in model.graph.initializer if re.search(r"1\.conv\.weight$|layers\.1|linear\.weight$", i.name)
        )
        scaled = onnx.numpy_helper.to_array(weight) * np.float32(1.02)
        weight.CopyFrom(onnx.numpy_helper.from_array(scaled, weight.name))
        rewrite(path, graph, model.SerializeToString())
        with pytest.raises(VerificationError, match="computes wrong numbers"):
            OpenVinoSearcher(load_package(path), threads=1)
        rewrite(path, graph, content)


@pytest.mark.parametrize("kind", ["z", "image"])
def test_self_test_that_is_not_finite_is_refused(kind: str) -> None:
    """A graph that gives NaN differs from its oracle."""
    model = exported("autoencoder")[1]
    test = model.selftest
    assert isinstance(test, ForwardTest)
    answers = {**test.answers(), kind: np.full_like(test.answers()[kind], np.nan)}
    with pytest.raises(VerificationError, match=f"relative error of {kind}"):
        check_forward(lambda x: {name: a.astype(np.float32) for name, a in answers.items()}, test)


@pytest.mark.parametrize(("resolution", "channels", "variational"), [(32, 1, False), (64, 3, True), (128, 1, True)])
def test_normalisation_folds_exactly(resolution: int, channels: int, variational: bool) -> None:
    """In float64 the folded convolutions give what convolution and normalisation gave, and no statistics are left."""
    torch.manual_seed(resolution)
    size = (resolution, channels, 5, 4, variational)
    pairs: list[tuple[ConvEncoder | ConvDecoder, torch.Tensor]] = [
        (ConvEncoder(*size), torch.randn(4, channels, resolution, resolution)),
        (ConvDecoder(*size), torch.randn(4, 5)),
    ]
    for network, value in pairs:
        for _ in range(3):
            network.train()(value)
        network.double().eval().requires_grad_(False)
        light = _folded(network).double()  # the weights are float32, so its error is theirs
        for found, true in zip(_tuple(light(value.double())), _tuple(network(value.double())), strict=True):
            assert float((found - true).norm() / true.norm()) < 1e-6
        assert not any("running" in name for name in light.state_dict())


@pytest.mark.parametrize("searcher", ["vae"], indirect=True)
def test_negative_log_likelihood_is_the_mean_over_samples(searcher: OpenVinoSearcher) -> None:
    """−log p(x|z) by SciPy's normal distribution over the same noise, from the networks in float64."""
    from scipy.stats import norm

    checkpoint = exported("vae")[0]
    x = torch.from_numpy(frames(2).transpose(0, 3, 1, 2) / 127.5 - 1)
    with torch.no_grad():
        mean, log_variance = random_checkpoint("vae").encoder.double()(x)  # type: ignore[union-attr]
        decoder = random_checkpoint("vae").generator.double()
        noise = np.random.default_rng(checkpoint.config.search.seed).standard_normal((3, mean.shape[1]))
        total = np.zeros(x.shape)
        for row in noise:
            image, spread = decoder(mean + (log_variance / 2).exp() * torch.from_numpy(row))
            total -= norm.logpdf(x.numpy(), image.numpy(), np.exp(spread.numpy() / 2))
    found = searcher.search(frames(2)).negative_log_likelihood
    assert found is not None
    np.testing.assert_allclose(found, total / 3, rtol=1e-3, atol=1e-3)


def _folded(network: ConvEncoder | ConvDecoder) -> torch.nn.Module:
    if isinstance(network, ConvEncoder):
        return folded(network)
    return folded(network)


def _tuple(output: torch.Tensor | tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    return output if isinstance(output, tuple) else (output,)
