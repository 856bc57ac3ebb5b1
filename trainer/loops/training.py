"""The contract between the training of a method and the run that drives it: step, state, samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

TILES_TOGETHER = 64  # through encoder and generator


@dataclass(frozen=True)
class StepReport:
    """What one step gave, in numbers.

    images         shown so far
    stage          of the growth, with images of 4·2^stage positions a side; alpha in (0, 1] is the stage's weight
    losses         by name, e.g. discriminator, generator, reconstruction, kl
    probabilities  mean D(x) by kind of image: real, generated, abnormal
    """

    images: int
    stage: int
    alpha: float
    losses: Mapping[str, float]
    probabilities: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class TrainingState:
    """Everything that a resume needs; an export needs `networks` alone.

    metadata  what is no tensor, as JSON: images shown, steps, states of NumPy's random generators
    """

    networks: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    metadata: dict[str, Any]


@dataclass(frozen=True)
class TileReconstructor:
    """Encoder and generator in training, as one function of tiles.

    network   [n, C, R, R] in [-1, 1] -> G(E(x)) of the same shape, on `device`
    progress  of the training that teaches them, from 0 to 1: it has ended
    """

    network: Callable[[Tensor], Tensor]
    device: torch.device
    progress: float

    def __call__(self, tiles: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Reconstructions of tiles [N, C, R, R], a batch at a time, without gradients."""
        with torch.no_grad():
            batches = torch.split(torch.from_numpy(tiles), TILES_TOGETHER)
            images = torch.cat([self.network(batch.to(self.device)).float().cpu() for batch in batches])
        return np.asarray(images.numpy())


class Training(Protocol):
    """Networks, optimisers and random states of one run.

    images, total_images  shown so far, and to be shown in the whole run
    """

    images: int
    total_images: int

    def step(self) -> StepReport:
        """Train on one batch. Raises TrainingError when a loss is not finite; the networks are then as before."""
        ...

    def state(self) -> TrainingState:
        """The state for a checkpoint."""
        ...

    def restore(self, state: TrainingState) -> None:
        """Continue from the state of a checkpoint of the same configuration. Raises CheckpointError."""
        ...

    def samples(self, count: int, seed: int) -> npt.NDArray[np.float32]:
        """`count` images [count, C, r, r] in [-1, 1] that show what was learnt.

        G(z) of random latents, or of an autoencoder G(E(x)) of normal tiles x; the seed fixes either.
        """
        ...

    def reconstructor(self) -> TileReconstructor | None:
        """What reconstructs tiles now; None where there is no encoder, or its training has not started."""
        ...


def tensors_under(tensors: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """The tensors whose names begin with `name.`, without that prefix."""
    return {k[len(name) + 1 :]: v for k, v in tensors.items() if k.startswith(name + ".")}
