"""The floor makes the passes of a training step, and the bench sees a leak."""

import numpy as np
import pytest
import torch

from bench.configs import CONFIGS, read_config
from bench.speed.training import make_training, measure, memory_growth
from bench.speed.training_floor import floor_of
from latentline.errors import ConfigError

TINY = {"network.resolution": 32, "network.patch_size": 2, "network.latent_size": 8, "schedule.batch": 8}
SIZES = {
    "noisy_anogan": {"network.fmap_base": 64, "network.fmap_max": 8},
    "autoencoder_ssim": {"network.autoencoder_width": 4},
}


def _networks(owner: object) -> list[torch.nn.Module]:
    names = ("generator", "discriminator", "encoder", "decoder")
    held = {name.lstrip("_"): value for name, value in vars(owner).items()}
    return [held[name] for name in names if isinstance(held.get(name), torch.nn.Module)]


@pytest.mark.parametrize("method", ["noisy_anogan", "autoencoder_ssim", "vae"])
def test_the_floor_reaches_the_weights_that_training_reaches(method: str) -> None:
    """A step of the floor gives a gradient to the weights that a step of training changes, and changes none itself."""
    config = read_config(
        CONFIGS / "methods" / f"{method}.yaml", {**TINY, **SIZES.get(method, {"network.autoencoder_width": 4})}
    )
    training = make_training(config)
    floor = floor_of(training, config)
    ours, theirs = (torch.nn.ModuleList(_networks(owner)) for owner in (floor, training))
    before = [p.detach().clone() for p in theirs.parameters()]
    floor.step()
    reached = [p.grad is not None and bool(p.grad.any()) for p in ours.parameters()]
    assert all(torch.equal(p, b) for p, b in zip(ours.parameters(), before, strict=True))
    training.step()
    changed = [not torch.equal(p, b) for p, b in zip(theirs.parameters(), before, strict=True)]
    assert any(reached) and reached == changed


def test_a_method_without_training_steps_is_refused() -> None:
    """Method pca is computed in one step, and there is no speed to measure."""
    with pytest.raises(ConfigError, match="method pca has no training steps to time"):
        make_training(read_config(CONFIGS / "methods" / "pca.yaml", {}))


def test_growth_finds_a_leak() -> None:
    """2 MiB per 1,000 steps under noise, after a start that grows fast and does not count; none where there is none."""
    rng = np.random.default_rng(0)
    flat = 300 + rng.normal(0, 0.2, 2000) - np.maximum(0, 100 - np.arange(2000))
    leaking = memory_growth(list(flat + 0.002 * np.arange(2000)))
    assert leaking.low <= 2 <= leaking.high and leaking.low > 1.5
    sound = memory_growth(list(flat))
    assert sound.low <= 0 <= sound.high


def test_the_bench_gives_its_figures() -> None:
    """Speeds are positive, their ratio is plausible, and memory is sampled in as many steps as asked for."""
    config = read_config(CONFIGS / "methods" / "noisy_anogan.yaml", {**TINY, **SIZES["noisy_anogan"]})
    figures = measure(config, repeats=2, steps=50)
    step, floor, ratio = (figures.speeds[f"{name}, images/s"][0] for name in ("step", "floor", "step / floor"))
    assert step > 0 and floor > 0 and 0 < ratio < 3
    assert figures.memory is not None and figures.memory.steps == 50 and figures.memory.last > 50
