"""What an autoencoder makes of a batch: all that the loss of a method may look at."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Reconstruction:
    """Everything in float32; what the method's networks do not give is None.

    image           [N, C, R, R]
    log_variance    of each value of the image [N, C, R, R]
    mean, spread    of z: mean and log variance, [N, L] each
    logit           the adversary's verdict on the image, [N]
    """

    image: Tensor
    log_variance: Tensor | None = None
    mean: Tensor | None = None
    spread: Tensor | None = None
    logit: Tensor | None = None

    @property
    def values(self) -> int:
        """Numbers in one image: C·R·R."""
        return self.image[0].numel()
