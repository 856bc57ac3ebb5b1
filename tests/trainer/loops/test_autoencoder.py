"""The training of autoencoders, VAE and AnoVAEGAN: it learns, resumes exactly, and stops before it spoils anything."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from latentline.errors import CheckpointError, TrainingError
from trainer.config import TrainConfig
from trainer.loops.autoencoder import AutoencoderTraining, contrast
from trainer.loops.training import TrainingState
from trainer.loops.workers import ALONE, Workers
from trainer.losses.adversarial import discriminator_loss, r1_penalty
from trainer.losses.anovaegan import anovaegan_terms
from trainer.methods import AnoVaeGan

L2, SSIM = {"kind": "autoencoder", "loss": "l2"}, {"kind": "autoencoder", "loss": "ssim"}
VAE, ANOVAEGAN = {"kind": "vae"}, {"kind": "anovaegan"}
METHODS = pytest.mark.parametrize("method", [L2, SSIM, VAE, ANOVAEGAN], ids=["l2", "ssim", "vae", "anovaegan"])


class Stripes:
    """Draws tiles of stripes of any phase; `spoilt` makes the next draw so."""

    spoilt: float | None = None

    def draw(self, count: int, rng: np.random.Generator) -> Tensor:
        wave = np.sin(np.arange(32) / 3 + rng.uniform(0, 6, (count, 1, 1, 1))) / 2
        tiles = torch.from_numpy((wave + rng.normal(0, 0.03, (count, 1, 32, 32))).astype(np.float32))
        if self.spoilt is not None:
            tiles[0, 0, 3, 4] = self.spoilt
        return tiles


def start(
    method: dict[str, Any],
    stripes: Stripes | None = None,
    width: int = 4,
    workers: Workers = ALONE,
    **schedule: Any,
) -> AutoencoderTraining:
    config = TrainConfig.model_validate(
        {
            "method": method,
            "data": {"root": "unused"},
            "network": {"resolution": 32, "latent_size": 8, "autoencoder_width": width, "fmap_base": 64, "fmap_max": 4},
            "schedule": {"final_images": 1600, "batch": 16, "learning_rate": 2e-3, **schedule},
            "search": {"iterations": 0},
        }
    )
    return AutoencoderTraining(config, stripes or Stripes(), workers)  # type: ignore[arg-type]


def tensors(training: AutoencoderTraining) -> dict[str, Tensor]:
    state = training.state()
    return {k: v.clone() for part in (state.networks, state.optimizer) for k, v in part.items()}


@pytest.mark.parametrize(
    ("method", "left"),
    [(L2, 0.25), (SSIM, 0.25), (VAE, 0.25), (ANOVAEGAN, 0.6)],
    ids=["l2", "ssim", "vae", "anovaegan"],
)
def test_each_method_learns(method: dict[str, Any], left: float) -> None:
    """In steps 111 to 120 no more than a fraction of the first loss is left, in the mean, and no constant was learnt.

    An AnoVAEGAN may be slow to begin: with one seed 0.8 is left after 80 steps, with three others less than half.
    """
    training = start(method, final_images=2400)
    reports = [training.step() for _ in range(120)]
    first, last = reports[0], reports[-1]
    assert np.mean([r.losses["reconstruction"] for r in reports[-10:]]) < left * first.losses["reconstruction"]
    assert np.mean([r.losses["contrast"] for r in reports[-10:]]) > 0.6
    assert last.images == training.images == 16 * 120 and (last.stage, last.alpha) == (3, 1.0)


@METHODS
def test_a_resumed_training_equals_an_uninterrupted_one(tmp_path: Path, method: dict[str, Any]) -> None:
    """From the files of a checkpoint after step 3 a fresh training goes on to the same bits: statistics of the norms,
    moments, latents and crops too.
    """
    whole = start(method, batch=8)
    for _ in range(3):
        whole.step()
    state = whole.state()
    save_file(state.networks, tmp_path / "networks")
    save_file(state.optimizer, tmp_path / "optimizer")
    (tmp_path / "metadata").write_text(json.dumps(state.metadata))
    expected = [whole.step() for _ in range(3)]
    resumed = start(method, batch=8)
    metadata = json.loads((tmp_path / "metadata").read_text())
    resumed.restore(TrainingState(load_file(tmp_path / "networks"), load_file(tmp_path / "optimizer"), metadata))
    assert resumed.images == 24
    assert [resumed.step() for _ in range(3)] == expected
    a, b = tensors(whole), tensors(resumed)
    assert a.keys() == b.keys() and any("running_mean" in k for k in a)
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert whole.state().metadata == resumed.state().metadata


@METHODS
@pytest.mark.parametrize("spoilt", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_stops_before_any_step(method: dict[str, Any], spoilt: float) -> None:
    """The message names step and images; networks and running statistics are as before, and go on."""
    stripes = Stripes()
    training = start(method, stripes, batch=8)
    training.step()
    before = tensors(training)
    stripes.spoilt = spoilt
    with pytest.raises(TrainingError, match=r"step 2 \(after 8 images\): .*(nan|inf|not finite)"):
        training.step()
    after = training.state().networks
    assert all(torch.equal(before[k], after[k]) for k in after)
    assert training.images == 8
    stripes.spoilt = None
    assert np.isfinite(list(training.step().losses.values())).all()


@METHODS
def test_a_gradient_that_is_not_finite_stops_as_well(method: dict[str, Any]) -> None:
    """A finite loss whose gradient overflows would spoil the weights for the step after."""
    training = start(method, batch=8)
    training.step()
    before = tensors(training)
    training.encoder.out.weight.register_hook(lambda gradient: gradient * float("inf"))  # type: ignore[no-untyped-call]
    with pytest.raises(TrainingError, match=r"step 2 \(after 8 images\): the gradient of the loss is not finite"):
        training.step()
    after = training.state().networks
    assert all(torch.equal(before[k], after[k]) for k in after)


def test_the_adversary_and_the_coder_each_descend_their_own_loss() -> None:
    """D's gradient is that of its own loss and penalty, the coder's that of its terms under the D that has stepped."""
    training, other = start(ANOVAEGAN, batch=8), start(ANOVAEGAN, batch=8)  # the same weights and latents
    training.step()
    x, d = Stripes().draw(8, np.random.default_rng(0)), other.discriminator
    assert d is not None and training.discriminator is not None
    seen, real = other._reconstruct(x), x.clone().requires_grad_(True)
    logit = d(real)[0]
    penalty = 8 * r1_penalty(logit, real)  # the first of every eight steps
    of_d = discriminator_loss(logit, d(seen.image.detach())[0], None, 1.0) + penalty
    of_d.backward()  # type: ignore[no-untyped-call]
    terms = anovaegan_terms(x, replace(seen, logit=training.discriminator(seen.image)[0]), AnoVaeGan(kind="anovaegan"))
    coder = [*other.encoder.parameters(), *other.decoder.parameters()]
    expected = [p.grad for p in d.parameters()] + list(torch.autograd.grad(torch.stack([*terms.values()]).sum(), coder))
    networks = (training.discriminator, training.encoder, training.decoder)
    for gradient, parameter in zip(expected, (p for n in networks for p in n.parameters()), strict=True):
        assert (parameter.grad is None) == (gradient is None)  # layers of smaller stages take no part
        if gradient is not None:
            torch.testing.assert_close(parameter.grad, gradient)


@METHODS
def test_bfloat16_trains_with_weights_in_float32(method: dict[str, Any]) -> None:
    """Layers compute in bfloat16; weights, statistics and moments stay float32, and the loss falls as in float32."""
    mixed, full = start(method, precision="bfloat16"), start(method)
    for _ in range(25):
        a, b = mixed.step(), full.step()
    assert all(v.dtype != torch.bfloat16 for v in tensors(mixed).values())
    assert a.losses != b.losses
    assert a.losses["reconstruction"] == pytest.approx(b.losses["reconstruction"], rel=0.2, abs=0.05)


@METHODS
def test_samples_are_reconstructions_and_disturb_nothing(method: dict[str, Any]) -> None:
    """Always of the tiles that the seed draws; the training then goes on as if none had been drawn."""
    training, undisturbed = start(method, batch=8), start(method, batch=8)
    training.step(), undisturbed.step()
    pictures = training.samples(5, seed=3)
    assert pictures.shape == (5, 1, 32, 32) and pictures.dtype == np.float32
    tiles = Stripes().draw(5, np.random.default_rng(3)).numpy()
    np.testing.assert_array_equal(pictures, training.reconstructor()(tiles))
    np.testing.assert_array_equal(training.samples(5, seed=3), pictures)
    assert training.step() == undisturbed.step()


def test_schedule_gives_batch_and_learning_rate() -> None:
    """A batch size for a resolution, final_images as the whole; the rate falls to a twentieth in the last quarter."""
    training = start(L2, batch=8, batch_per_resolution={32: 4, 64: 2}, final_images=40)
    assert training.total_images == 40
    while training.images < 40:
        training.step()
    assert training.images == 40
    rate = training._optimizer_steps["autoencoder"]._adam.param_groups[0][
        "lr"
    ]  # of the last step, after 36 of 40 images
    assert rate == pytest.approx(2e-3 * 4 * 0.1)


def test_contrast_tells_a_constant_from_a_reconstruction() -> None:
    """1 for the tile itself, 0 for its mean, whatever the brightness of the tiles."""
    x = Stripes().draw(4, np.random.default_rng(0)) + torch.arange(4.0).view(4, 1, 1, 1)
    assert float(contrast(x, x)) == pytest.approx(1)
    assert float(contrast(x, x.mean((2, 3), keepdim=True).expand_as(x))) == pytest.approx(0, abs=1e-6)
    assert float(contrast(torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 4))) == 0  # tiles without contrast


def test_a_checkpoint_of_another_size_is_refused() -> None:
    """One sentence, not a traceback of torch."""
    with pytest.raises(CheckpointError, match="does not fit this configuration"):
        start(L2, width=8).restore(start(L2).state())
