"""The contract between a method's training and the run that drives it: step, state, pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from torch import Tensor


@dataclass(frozen=True)
class StepReport:
    """One step, in numbers.

    images    shown so far
    stage     of the growth: images of 4·2^stage px; alpha: how far it is faded in
    losses    by name, e.g. discriminator, generator, reconstruction, kl
    verdicts  mean D = σ(logit) by what was shown: real, generated, abnormal
    """

    images: int
    stage: int
    alpha: float
    losses: Mapping[str, float]
    verdicts: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class TrainingState:
    """Everything a resume needs; `networks` alone is what an export needs."""

    networks: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    rest: dict[str, Any]


class Training(Protocol):
    """Networks, optimisers and random states of one run.

    images, total_images  shown to the networks so far, and in the whole run
    """

    images: int
    total_images: int

    def step(self) -> StepReport:
        """Show one batch. Raises TrainingError when a loss is not finite: networks are then as before the step."""
        ...

    def state(self) -> TrainingState:
        """For a checkpoint."""
        ...

    def restore(self, state: TrainingState) -> None:
        """Take up the state of a checkpoint of the same configuration. Raises CheckpointError."""
        ...

    def samples(self, count: int, seed: int) -> npt.NDArray[np.float32]:
        """`count` pictures [count, C, r, r] in [-1, 1] that show what was learnt; the same latents or tiles always."""
        ...


def part(tensors: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    """The tensors under `name.`, without that prefix."""
    return {k[len(name) + 1 :]: v for k, v in tensors.items() if k.startswith(name + ".")}
