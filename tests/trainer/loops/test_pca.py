"""Method pca: its networks are the principal components of the tiles that it drew, and bad input is one sentence."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from sklearn.decomposition import PCA
from torch import Tensor

from latentline.errors import CheckpointError, ConfigError, DatasetError
from trainer.config import TrainConfig
from trainer.data.crops import CropSampler
from trainer.loops import pca as loop
from trainer.loops.pca import PcaTraining
from trainer.loops.training import TrainingState

SIZE, LATENT, TILES = 32, 6, 400


def texture(channels: int = 1, seed: int = 0) -> np.ndarray:
    """A picture of waves with noise, uint8 [96, 128, channels]: a few components stand out of many."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:96, :128]
    waves = 110 + 40 * np.sin(x / 3) + 25 * np.sin(y / 5)
    image = waves[..., None] + rng.normal(0, 6, (96, 128, channels))
    return np.asarray(np.clip(image, 0, 255).astype(np.uint8))


def config(**network: Any) -> TrainConfig:
    channels, tiles, seed = (network.pop(k, default) for k, default in (("channels", 1), ("tiles", TILES), ("seed", 0)))
    return TrainConfig.model_validate(
        {
            "method": {"kind": "pca"},
            "data": {"root": "unused"},
            "preprocessing": {"channels": channels},
            "network": {"resolution": SIZE, "latent_size": LATENT, **network},
            "schedule": {"final_images": tiles, "seed": seed},
            "search": {"iterations": 0},
        }
    )


def start(images: list[np.ndarray] | None = None, **settings: Any) -> PcaTraining:
    given = config(**settings)
    images = images or [texture(given.preprocessing.channels)]
    return PcaTraining(given, CropSampler(images, given.network.resolution))


def drawn(training: PcaTraining) -> Tensor:
    """The tiles that `training` drew with seed 0."""
    rng = np.random.default_rng(0)
    counts = [min(loop.CHUNK, TILES - first) for first in range(0, TILES, loop.CHUNK)]
    return torch.cat([training._normal.draw(count, rng) for count in counts])


def tensors(training: PcaTraining) -> dict[str, Tensor]:
    return {k: v.clone() for k, v in training.state().networks.items()}


@pytest.mark.parametrize("channels", [1, 3])
def test_it_finds_the_principal_components_of_its_tiles(channels: int) -> None:
    """Reconstructions and explained share are those of scikit-learn's exact PCA in float64 of the same tiles."""
    training = start(channels=channels)
    report = training.step()
    tiles = drawn(training)
    rows = tiles.flatten(1).double().numpy()
    exact = PCA(LATENT, svd_solver="full").fit(rows)
    expected = exact.inverse_transform(exact.transform(rows))
    with torch.no_grad():
        z = training.encoder(tiles)
        found = training.decoder(z)
    assert z.shape == (TILES, LATENT) and found.shape == tiles.shape
    error = np.linalg.norm(found.flatten(1).numpy() - expected) / np.linalg.norm(expected - exact.mean_)
    assert error < 0.02  # the randomised decomposition is near the exact one, not equal to it
    assert report.losses["explained"] == pytest.approx(exact.explained_variance_ratio_.sum(), rel=1e-3)
    assert report.losses["reconstruction"] == pytest.approx(float((tiles - found).square().mean()), rel=1e-2)
    assert report.images == training.images == training.total_images == TILES


def test_latents_of_the_tiles_are_white() -> None:
    """Mean 0, variance 1 and no correlation; so a z from N(0, 1) gives an image like the tiles."""
    training = start()
    training.step()
    tiles = drawn(training)
    with torch.no_grad():
        z = training.encoder(tiles).double().numpy()
    np.testing.assert_allclose(z.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(np.cov(z.T), np.eye(LATENT), atol=1e-4)
    samples = training.samples(200, seed=1)
    assert samples.shape == (200, 1, SIZE, SIZE) and samples.dtype == np.float32 and np.abs(samples).max() <= 1
    assert samples.var(axis=0).mean() == pytest.approx(0.9 * float(tiles.var(dim=0).mean()), rel=0.15)
    np.testing.assert_array_equal(training.samples(200, seed=1), samples)
    assert not np.array_equal(training.samples(200, seed=2), samples)


def test_encoder_and_decoder_are_inverse_on_the_plane_of_the_components() -> None:
    """E(G(z)) = z: what G made is found again."""
    training = start()
    training.step()
    z = torch.randn(5, LATENT, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(training.encoder(training.decoder(z)), z, rtol=1e-4, atol=1e-4)


def test_a_seed_fixes_the_result() -> None:
    """The same seed gives the same bits, whatever torch's global state; another seed other tiles."""
    trainings = [start(seed=0), start(seed=0), start(seed=1)]
    for index, training in enumerate(trainings):
        torch.manual_seed(index)
        training.step()
    a, b, c = (tensors(training) for training in trainings)
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert not torch.equal(a["encoder.linear.weight"], c["encoder.linear.weight"])


def test_a_finished_training_is_restored(tmp_path: Path) -> None:
    """From the files of its checkpoint a fresh training has the same networks, and nothing is left to do."""
    training = start()
    training.step()
    state = training.state()
    save_file(state.networks, tmp_path / "networks")
    metadata = json.loads(json.dumps(state.metadata))
    resumed = start()
    resumed.restore(TrainingState(load_file(tmp_path / "networks"), {}, metadata))
    assert resumed.images == resumed.total_images
    a, b = tensors(training), tensors(resumed)
    assert a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)
    with pytest.raises(CheckpointError, match="does not fit this configuration"):
        start(latent_size=LATENT + 1).restore(state)


def test_more_tiles_than_memory_has_room_for_are_not_drawn(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says how many tiles were taken instead, and the run is as long as these."""
    monkeypatch.setattr(loop, "MEMORY", 4 * SIZE**2 * 50)
    training = start()
    assert training.total_images == 50
    assert "schedule.final_images 400: method pca takes 50 tiles" in caplog.text
    assert training.step().images == 50


@pytest.mark.parametrize(
    ("settings", "memory", "sentence"),
    [
        ({"latent_size": SIZE**2, "tiles": 2000}, 2**30, "network.latent_size 1024: a tile of 32 px has 1024 values"),
        ({"tiles": LATENT}, 2**30, "schedule.final_images 6: method pca needs more tiles than network.latent_size"),
        ({"resolution": 128}, 4 * 128**2 * LATENT, "method pca holds at most 6 tiles of 128 px in memory"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], memory: int, sentence: str
) -> None:
    """A sentence names the setting to change, before anything is computed."""
    monkeypatch.setattr(loop, "MEMORY", memory)
    with pytest.raises(ConfigError, match=sentence):
        start([np.zeros((130, 130, 1), np.uint8)], **settings)


@pytest.mark.parametrize(
    ("levels", "sentence"),
    [([90], "unused: all normal tiles are equal"), ([60, 90, 200], r"unused: .* too few principal components \(1\)")],
)
def test_images_without_structure_are_refused(levels: list[int], sentence: str) -> None:
    """Constant images have no component; images that differ in brightness alone have one."""
    training = start([np.full((40, 40, 1), level, np.uint8) for level in levels])
    with pytest.raises(DatasetError, match=sentence):
        training.step()
    assert training.images == 0
