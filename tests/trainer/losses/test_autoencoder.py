"""The losses of the methods without a search equal references in float64."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from skimage.metrics import structural_similarity
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from trainer.losses.anovaegan import anovaegan_terms, l1_loss
from trainer.losses.elbo import elbo_terms, kl, negative_log_likelihood
from trainer.losses.l2 import l2_loss
from trainer.losses.reconstruction import Reconstruction
from trainer.losses.ssim import ssim_loss, ssim_map
from trainer.methods import AnoVaeGan, Vae


def images(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@settings(max_examples=20)
@given(st.integers(11, 40), st.integers(11, 40), st.sampled_from([1, 3]), st.floats(0, 2), st.integers(0, 99))
def test_ssim_is_that_of_scikit_image(height: int, width: int, channels: int, noise: float, seed: int) -> None:
    """Of images shifted to [0, 2]: Gaussian window σ = 1.5, 11 px, each channel by itself, where the window fits."""
    x = images(2, channels, height, width, seed=seed)
    y = (1 - noise / 4) * x + noise * images(2, channels, height, width, seed=seed + 1)
    got = ssim_map(x, y).numpy()
    assert got.shape == (2, channels, height - 10, width - 10)
    for n, c in np.ndindex(2, channels):
        mean, full = structural_similarity(
            x[n, c].numpy() + 1,
            y[n, c].numpy() + 1,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=2,
            full=True,
        )
        np.testing.assert_allclose(got[n, c], full[5:-5, 5:-5], atol=1e-12)
        assert float(1 - ssim_loss(x[n : n + 1, c : c + 1], y[n : n + 1, c : c + 1])) == pytest.approx(mean, abs=1e-12)


def test_ssim_in_float32_is_exact_enough_for_smooth_bright_images() -> None:
    """Variances are differences of large numbers there; the map stays within 2e-3 of float64."""
    x = 0.98 + 0.01 * images(2, 1, 64, 64)
    y = 0.97 + 0.01 * images(2, 1, 64, 64, seed=1)
    np.testing.assert_allclose(ssim_map(x.float(), y.float()), ssim_map(x, y), atol=2e-3)


def test_equal_images_have_no_loss() -> None:
    """1 − SSIM(x, x) = 0, and so have ℓ1 and ℓ2."""
    x = images(1, 3, 16, 16)
    assert all(float(loss(x, x)) == pytest.approx(0, abs=1e-12) for loss in (ssim_loss, l2_loss, l1_loss))


@pytest.mark.parametrize("loss", [l2_loss, ssim_loss, lambda x, y: negative_log_likelihood(x, y, y.sin()).sum()])
def test_gradients_are_those_of_finite_differences(loss: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Autograd's gradient of each loss against central differences, in float64."""
    x, y = images(1, 2, 12, 13), images(1, 2, 12, 13, seed=1).requires_grad_(True)
    assert torch.autograd.gradcheck(lambda y: loss(x, y), (y,))


def test_l1_and_l2_are_means_over_all_values() -> None:
    """Against NumPy."""
    x, y = images(3, 2, 5, 4), images(3, 2, 5, 4, seed=1)
    assert float(l2_loss(x, y)) == pytest.approx(np.mean((x - y).numpy() ** 2), rel=1e-12)
    assert float(l1_loss(x, y)) == pytest.approx(np.mean(np.abs((x - y).numpy())), rel=1e-12)


@given(st.floats(-3, 3), st.floats(-3, 3), st.floats(-10, 4))
def test_negative_log_likelihood_is_that_of_a_gaussian(x: float, mean: float, log_variance: float) -> None:
    """−log N(x; μ, σ²), as SciPy has it."""
    got = negative_log_likelihood(*(torch.tensor(v, dtype=torch.float64) for v in (x, mean, log_variance)))
    assert float(got) == pytest.approx(-norm.logpdf(x, mean, np.exp(log_variance / 2)), rel=1e-9, abs=1e-9)


def test_kl_is_that_of_two_gaussians() -> None:
    """KL(N(μ, σ²) ‖ N(0, 1)), summed over the latents of each tile; 0 for the prior itself."""
    mean, log_variance = images(4, 6) * 3, images(4, 6, seed=1) * 4
    expected = kl_divergence(Normal(mean, (log_variance / 2).exp()), Normal(0.0, 1.0)).sum(1)
    torch.testing.assert_close(kl(mean, log_variance), expected)
    assert kl(torch.zeros(1, 6), torch.zeros(1, 6)).item() == 0


def reconstruction(logit: Tensor | None = None, log_variance: Tensor | None = None) -> Reconstruction:
    mean, z_log_variance = images(3, 5, seed=2), images(3, 5, seed=3)
    return Reconstruction(images(3, 2, 8, 8, seed=1), log_variance, mean, z_log_variance, logit)


def test_the_terms_of_a_vae_are_its_bound_per_value() -> None:
    """Times the number of values they are E[−log p(x|z)] + kl_weight·KL, the paper's sums, averaged over the batch."""
    x, log_variance = images(3, 2, 8, 8), 3 * images(3, 2, 8, 8, seed=4)
    view = reconstruction(log_variance=log_variance)
    terms = elbo_terms(x, view, Vae(kind="vae", kl_weight=0.3))
    density = norm.logpdf(x.numpy(), view.image.numpy(), np.exp(log_variance.numpy() / 2)).sum((1, 2, 3))
    assert view.z_mean is not None and view.z_log_variance is not None
    mean, z_log_variance = view.z_mean.numpy(), view.z_log_variance.numpy()
    kl = (0.5 * (mean**2 + np.exp(z_log_variance) - z_log_variance - 1)).sum(1)
    assert 128 * float(sum(terms.values())) == pytest.approx(np.mean(-density + 0.3 * kl), rel=1e-10)


def test_the_terms_of_anovaegan_are_l1_kl_and_adversary() -> None:
    """(Σ|x − x̂| + kl_weight·KL) over the number of values, plus the adversary's −log D(x̂), by NumPy."""
    x, logit = images(3, 2, 8, 8), 4 * images(3, seed=5)
    view = reconstruction(logit=logit)
    terms = anovaegan_terms(x, view, AnoVaeGan(kind="anovaegan", kl_weight=0.5, adversarial_weight=0.2))
    assert view.z_mean is not None and view.z_log_variance is not None
    mean, z_log_variance = view.z_mean.numpy(), view.z_log_variance.numpy()
    kl = (0.5 * (mean**2 + np.exp(z_log_variance) - z_log_variance - 1)).sum(1)
    bound = np.abs((x - view.image).numpy()).sum((1, 2, 3)) + 0.5 * kl
    adversary = -np.log(1 / (1 + np.exp(-logit.numpy())))
    assert float(sum(terms.values())) == pytest.approx(np.mean(bound / 128 + 0.2 * adversary), rel=1e-10)
