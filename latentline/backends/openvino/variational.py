"""What a VAE gives beside its reconstruction (Kingma & Welling 2014; An & Cho 2015), in NumPy."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float32]

LOG_2_PI = math.log(2 * math.pi)


def sample_noise(seed: int, samples: int, latent_size: int) -> Float:
    """Standard normal noise for samples of z, the same for every tile, float32 [samples, latent_size]."""
    return np.random.default_rng(seed).standard_normal((samples, latent_size)).astype(np.float32)


def kl(mean: Float, log_variance: Float) -> Float:
    """KL(q(z|x) ‖ N(0, 1)) in nats of each row: [N, L], [N, L] -> [N]."""
    terms = np.exp(log_variance) + np.square(mean) - 1 - log_variance
    return np.asarray(0.5 * terms.sum(axis=1), np.float32)


def negative_log_likelihood(x: Float, image: Float, log_variance: Float) -> Float:
    """−log p(x | z) of each pixel under the Gaussian that the generator gives, shaped like x."""
    return np.asarray(0.5 * (np.square(x - image) * np.exp(-log_variance) + log_variance + LOG_2_PI), np.float32)
