"""Adam over the latent, in NumPy: Algorithm 1 of Kimura & Yanagihara (2018), as the trainer's `reference_search`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float32]

BETAS = (0.9, 0.999)
EPSILON = 1e-8


def initial_latent(seed: int, count: int, latent_size: int) -> Float:
    """Where a search without an encoder starts: one standard normal z for all tiles, float32 [count, latent_size]."""
    first = np.random.default_rng(seed).standard_normal(latent_size).astype(np.float32)
    return np.repeat(first[None], count, axis=0)


def adam_search(gradient: Callable[[Float], Float], z: Float, iterations: int, learning_rate: float) -> Float:
    """ẑ after `iterations` steps z ← z − η·m̂/(√v̂ + ε) from z [N, L], with ∂L'/∂z from `gradient`, in float32."""
    m, v = np.zeros_like(z), np.zeros_like(z)
    beta1, beta2 = BETAS
    for t in range(1, iterations + 1):
        g = gradient(z)
        m += np.float32(1 - beta1) * (g - m)
        v += np.float32(1 - beta2) * (g * g - v)
        step = np.sqrt(v / np.float32(1 - beta2**t)) + np.float32(EPSILON)
        z = z - np.float32(learning_rate / (1 - beta1**t)) * m / step
    return z
