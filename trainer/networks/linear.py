"""Linear encoder and generator: the networks of method pca, one matrix product each."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from trainer.config import TrainConfig


class LinearEncoder(nn.Module):
    """Image [N, C, R, R] in [-1, 1] -> z = A·x + b, [N, latent_size]."""

    variational = False

    def __init__(self, resolution: int, channels: int, latent_size: int) -> None:
        super().__init__()
        self.linear = nn.Linear(channels * resolution**2, latent_size)

    def forward(self, x: Tensor) -> Tensor:
        """z [N, latent_size]."""
        z: Tensor = self.linear(x.flatten(1))
        return z


class LinearDecoder(nn.Module):
    """z [N, latent_size] -> image B·z + mean, [N, C, R, R]; not limited to [-1, 1]."""

    variance = False

    def __init__(self, resolution: int, channels: int, latent_size: int) -> None:
        super().__init__()
        self.resolution, self.channels, self.latent_size = resolution, channels, latent_size
        self.linear = nn.Linear(latent_size, channels * resolution**2)

    def forward(self, z: Tensor) -> Tensor:
        """Image [N, C, R, R]."""
        image: Tensor = self.linear(z)
        return image.reshape(-1, self.channels, self.resolution, self.resolution)


def build_linear(config: TrainConfig) -> tuple[LinearEncoder, LinearDecoder]:
    """Linear encoder and decoder without meaning: `set_components` or a checkpoint gives them one."""
    size = config.network.resolution, config.preprocessing.channels, config.network.latent_size
    return LinearEncoder(*size), LinearDecoder(*size)


def set_components(
    encoder: LinearEncoder, decoder: LinearDecoder, mean: Tensor, components: Tensor, deviations: Tensor
) -> None:
    """Make encoder and decoder those of a principal component analysis with whitened z.

    z = W(x − mean) / σ and G(z) = Wᵀ(σ·z) + mean, so that the z of the analysed tiles have mean 0 and variance 1.

    mean        [D] of the tiles, flattened to D = C·R·R values
    components  W [latent_size, D], orthonormal rows
    deviations  σ [latent_size], of the tiles along each component
    """
    whitened = components / deviations[:, None]
    with torch.no_grad():
        encoder.linear.weight.copy_(whitened)
        encoder.linear.bias.copy_(-(whitened @ mean))
        decoder.linear.weight.copy_((components * deviations[:, None]).T)
        decoder.linear.bias.copy_(mean)
