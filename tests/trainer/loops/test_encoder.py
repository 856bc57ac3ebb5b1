"""The encoder starts the search near to its end."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.trainer.folder import tiny_config, write_folder
from trainer.checkpoint import load_checkpoint
from trainer.config import TrainConfig
from trainer.loops.encoder import EncoderTraining
from trainer.loops.gan import GanTraining
from trainer.loops.workers import ALONE
from trainer.losses.encoder import izi_f_loss
from trainer.networks.encoder import Encoder
from trainer.run.fit import fit
from trainer.run.training_data import load_training_data


class Generated:
    """Draws images of a generator's random latents."""

    def __init__(self, gan: GanTraining | None = None) -> None:
        self._gan = gan

    def draw(self, count: int, rng: np.random.Generator) -> torch.Tensor:
        assert self._gan is not None
        with torch.no_grad():
            images: torch.Tensor = self._gan.average(torch.from_numpy(rng.normal(size=(count, 2)).astype(np.float32)))
            return images


def test_izi_f_equals_its_equation_in_numpy() -> None:
    """‖x − x̂‖² / n + κ·‖f(x) − f(x̂)‖² / n_d, mean over the batch."""
    rng = np.random.default_rng(0)
    x, y, fx, fy = rng.normal(size=(3, 1, 8, 8)), rng.normal(size=(3, 1, 8, 8)), *rng.normal(size=(2, 3, 5, 4, 4))
    expected = np.mean(
        [((a - b) ** 2).sum() / 64 + 0.5 * ((c - d) ** 2).sum() / 80 for a, b, c, d in zip(x, y, fx, fy, strict=True)]
    )
    tensors = [torch.from_numpy(v) for v in (x, y, fx, fy)]
    got = izi_f_loss(tensors[0], tensors[1], (tensors[2], tensors[3]), kappa=0.5)
    np.testing.assert_allclose(float(got), expected, rtol=1e-12)


def test_with_ssim_the_pixels_count_by_structure() -> None:
    """Equal images cost nothing, swapped contrast costs more than an equal squared difference, and features add up."""
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.uniform(-0.5, 0.5, (2, 1, 16, 16)))
    fx, fy = (torch.from_numpy(v) for v in rng.normal(size=(2, 2, 5, 4, 4)))
    assert float(izi_f_loss(x, x, None, pixels="ssim")) == pytest.approx(0, abs=1e-9)
    brighter = x + 2 * x.square().mean().sqrt()
    assert (x - brighter).square().mean() == pytest.approx(float((x - -x).square().mean()))
    assert izi_f_loss(x, -x, None, pixels="ssim") > 2 * izi_f_loss(x, brighter, None, pixels="ssim")
    features = float((fx - fy).square().mean())
    both = izi_f_loss(x, -x, (fx, fy), kappa=0.5, pixels="ssim") - izi_f_loss(x, -x, None, pixels="ssim")
    assert float(both) == pytest.approx(0.5 * features)


@pytest.mark.parametrize("loss", ["l2", "ssim"])
def test_the_encoder_learns_with_the_loss_it_is_given(loss: str) -> None:
    """Each loss falls while the encoder trains with it."""
    content = tiny_config(Path("unused"), encoder_images=640, batch=16, encoder_learning_rate=5e-3)
    content["method"] = {"kind": "anogan", "kappa": 0.0, "finetune_generator": True, "encoder_loss": loss}
    content["network"]["latent_size"] = 2
    config = TrainConfig.model_validate(content)
    generator = GanTraining(config, Generated(), None)  # type: ignore[arg-type]
    training = EncoderTraining(config, generator, Generated(generator), ALONE)  # type: ignore[arg-type]
    losses = []
    while training.images < training.total_images:
        losses.append(training.step().losses["encoder"])
    assert np.mean(losses[-8:]) < 0.8 * np.mean(losses[:8])


def test_a_trained_encoder_finds_what_was_generated() -> None:
    """G(E(x)) of images that it never saw is much nearer to them than an image of a random latent."""
    content = tiny_config(Path("unused"), encoder_images=1600, batch=16, encoder_learning_rate=5e-3)
    content["network"]["latent_size"] = 2
    config = TrainConfig.model_validate(content)
    generator = GanTraining(config, Generated(), None)  # type: ignore[arg-type]
    shown = Generated(generator)
    training = EncoderTraining(config, generator, shown, ALONE)  # type: ignore[arg-type]
    while training.images < training.total_images:
        training.step()
    x = shown.draw(64, np.random.default_rng(9))
    with torch.no_grad():
        warm, cold = generator.average(training.encoder(x)), generator.average(torch.randn(64, 2))
        z = training.encoder(x)
    assert (x - warm).abs().mean() < 0.5 * (x - cold).abs().mean()
    torch.testing.assert_close(z.square().mean(dim=1), torch.ones(64), rtol=1e-3, atol=0)


def test_a_finetuned_generator_makes_what_the_game_left_out(tmp_path: Path) -> None:
    """Normal tiles it was not trained on come out much better than from the frozen one; the checkpoint holds it."""
    losses = {}
    root = write_folder(tmp_path / "data")
    game = {"fade_images": 1, "stable_images": 0, "final_images": 8}
    for finetune_generator in (False, True):
        content = tiny_config(root, **game, encoder_images=600, encoder_learning_rate=5e-3)
        content["method"] = {"kind": "noisy_anogan", "kappa": 0.0, "finetune_generator": finetune_generator}
        config = TrainConfig.model_validate(content)
        checkpoint = load_checkpoint(fit(config, tmp_path / f"run-{finetune_generator}"))
        assert isinstance(checkpoint.encoder, Encoder)
        x = load_training_data(config).normal.draw(64, np.random.default_rng(9))
        with torch.no_grad():
            losses[finetune_generator] = float((checkpoint.generator(checkpoint.encoder(x)) - x).square().mean())
    assert losses[True] < 0.5 * losses[False]
