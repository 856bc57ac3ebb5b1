"""The hand-written backward pass is the gradient, and folding changes nothing."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from export.search_step import FoldedDiscriminator, FoldedGenerator, SearchStep
from tests.packages import networks, points
from trainer.networks.discriminator import Discriminator
from trainer.networks.generator import Generator
from trainer.reference.search import loss_and_gradient

weights = st.sampled_from([0.1, 0.5, 1.0]) | st.floats(0.01, 1)


def relative(found: torch.Tensor, true: torch.Tensor) -> float:
    return float((found - true).norm() / true.norm())


def doubles(
    resolution: int, channels: int, latent: int, base: int, seed: int, patch_size: int = 1, patch_head: bool = False
) -> tuple[Generator, Discriminator]:
    generator, discriminator = networks(resolution, channels, latent, base, 8, seed, patch_size, patch_head)
    return generator.double(), discriminator.double()


@settings(max_examples=25)
@given(
    positions=st.sampled_from([4, 8, 16, 32]),
    patch_size=st.sampled_from([1, 1, 2, 4]),
    channels=st.sampled_from([1, 3]),
    latent=st.integers(4, 9),
    base=st.sampled_from([64, 100]),  # at least 4 feature maps: pixel norm of one map is a sign, of gradient 0
    count=st.integers(1, 3),
    gamma=weights,
    lam=st.just(0.0) | weights,
    seed=st.integers(0, 1000),
)
def test_gradient_equals_autograd(
    positions: int,
    patch_size: int,
    channels: int,
    latent: int,
    base: int,
    count: int,
    gamma: float,
    lam: float,
    seed: int,
) -> None:
    """Loss and gradient equal those of the networks under autograd, in float64, for any shape and any weights."""
    resolution = positions * patch_size
    generator, discriminator = doubles(resolution, channels, latent, base, seed, patch_size)
    z, x = points(resolution, channels, latent, count, seed)
    fx = discriminator(x)[1]
    loss, grad = SearchStep(generator, discriminator, gamma, lam)(z, x, fx)
    true_loss, true_grad = loss_and_gradient(generator, discriminator, z, x, fx, gamma, lam)
    assert relative(loss, true_loss) < 1e-12
    assert relative(grad, true_grad) < 1e-10


def test_gradient_equals_finite_differences() -> None:
    """Central differences of the loss, which know nothing of backward passes, give the same gradient."""
    generator, discriminator = doubles(16, 3, 5, 64, 0)
    z, x = points(16, 3, 5, 1)
    fx = discriminator(x)[1]
    step = SearchStep(generator, discriminator, 0.1, 0.1)
    h = 1e-7 * torch.eye(5, dtype=torch.float64)
    above, below = (step(z + s * h, x.expand(5, -1, -1, -1), fx.expand(5, -1, -1, -1))[0] for s in (1, -1))
    assert relative((above - below) / 2e-7, step(z, x, fx)[1][0]) < 1e-5


@pytest.mark.parametrize(("resolution", "patch_size"), [(4, 1), (8, 1), (32, 1), (32, 2), (32, 4)])
def test_folded_networks_are_the_networks(resolution: int, patch_size: int) -> None:
    """Folding scale, up, average and the stddev channel away changes no output, up to float64 rounding."""
    patch_head = resolution // patch_size > 8
    generator, discriminator = doubles(resolution, 3, 7, 64, 1, patch_size, patch_head)
    z, x = points(resolution, 3, 7, 2)
    assert relative(FoldedGenerator(generator)(z), generator(z)) < 1e-13
    verdicts = [verdict for verdict in discriminator.outputs(x, patch_head=patch_head) if verdict is not None]
    for found, true in zip(FoldedDiscriminator(discriminator)(x), verdicts, strict=True):
        assert relative(found, true) < 1e-13


@pytest.mark.parametrize(("gamma", "lam"), [(0.0, 0.1), (1.1, 0.1), (0.5, -0.1), (0.5, 1.1)])
def test_weights_out_of_range_are_refused(gamma: float, lam: float) -> None:
    """Gamma outside (0, 1] or lambda outside [0, 1] is an error, not another loss."""
    with pytest.raises(ValueError, match="gamma must be in"):
        SearchStep(*networks(), gamma, lam)


def test_no_weight_takes_a_gradient() -> None:
    """Nothing in the step can be trained."""
    assert not any(p.requires_grad for p in SearchStep(*networks(), 0.1, 0.1).parameters())
