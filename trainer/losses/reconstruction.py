"""The output of an autoencoder for one batch: everything that the loss of a method may use."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Reconstruction:
    """All in float32; None where the method's networks have no such output.

    image           reconstruction [N, C, R, R]
    log_variance    of each value of the image, [N, C, R, R]
    z_mean          of q(z | x), [N, L]
    z_log_variance  of q(z | x), [N, L]
    logit           of the adversary on the image, [N]
    """

    image: Tensor
    log_variance: Tensor | None = None
    z_mean: Tensor | None = None
    z_log_variance: Tensor | None = None
    logit: Tensor | None = None

    @property
    def values(self) -> int:
        """Numbers in one image: C·R·R."""
        return self.image[0].numel()
