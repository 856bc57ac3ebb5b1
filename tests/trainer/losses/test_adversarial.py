"""The objective equals a plain NumPy evaluation of the paper's equations."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trainer.losses.adversarial import discriminator_loss, generator_loss, r1_penalty

logits = st.lists(st.floats(-8, 8), min_size=1, max_size=6).map(np.array)


def sigmoid(x: np.ndarray) -> np.ndarray:
    probability: np.ndarray = 1 / (1 + np.exp(-x))
    return probability


@given(logits, logits, logits, st.floats(0.01, 1))
def test_discriminator_loss_is_the_negative_of_what_d_maximises(
    real: np.ndarray, generated: np.ndarray, abnormal: np.ndarray, gamma: float
) -> None:
    """Eq. 15–17: γ·(E log D(x) + E log(1 − D(G(z)))) + (1 − γ)·E log(1 − D(x_an)), negated."""
    adversarial = np.log(sigmoid(real)).mean() + np.log(1 - sigmoid(generated)).mean()
    known_abnormal = np.log(1 - sigmoid(abnormal)).mean()
    expected = -(gamma * adversarial + (1 - gamma) * known_abnormal)
    got = discriminator_loss(torch.from_numpy(real), torch.from_numpy(generated), torch.from_numpy(abnormal), gamma)
    assert float(got) == pytest.approx(expected, rel=1e-9)


@given(logits, st.floats(0.01, 1))
def test_generator_loss_is_non_saturating(generated: np.ndarray, gamma: float) -> None:
    """−γ·E log D(G(z))."""
    expected = -gamma * np.log(sigmoid(generated)).mean()
    assert float(generator_loss(torch.from_numpy(generated), gamma)) == pytest.approx(expected, rel=1e-9)


def test_without_known_abnormal_images_and_gamma_one_it_is_the_gan_loss() -> None:
    """AnoGAN is the case γ = 1."""
    real, generated = torch.randn(5), torch.randn(5)
    expected = -(torch.log(real.sigmoid()).mean() + torch.log(1 - generated.sigmoid()).mean())
    torch.testing.assert_close(discriminator_loss(real, generated, None, 1.0), expected)


def test_r1_equals_finite_differences_of_the_logit() -> None:
    """½·E‖∇x logit‖², for a logit whose gradient is known by central differences."""
    x = torch.randn(3, 1, 4, 4, dtype=torch.float64, requires_grad=True)

    def logit(images: torch.Tensor) -> torch.Tensor:
        return (images.sin() * images).flatten(1).sum(1)

    step, numeric = 1e-6, torch.zeros_like(x)
    with torch.no_grad():
        for index in np.ndindex(*x.shape):
            shift = torch.zeros_like(x)
            shift[index] = step
            numeric[index] = (logit(x + shift) - logit(x - shift))[index[0]] / (2 * step)
    expected = numeric.square().flatten(1).sum(1).mean() / 2
    torch.testing.assert_close(r1_penalty(logit(x), x), expected, rtol=1e-7, atol=0)
