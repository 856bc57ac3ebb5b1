"""The game and the phases that follow it, such as the encoder's, as one Training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from latentline.errors import CheckpointError
from trainer.loops.gan import GanTraining
from trainer.loops.training import StepReport, TileReconstructor, TrainingState


class Phase(Protocol):
    """A training on networks that the phases before it have finished; it shows `images` of its own `total_images`."""

    images: int
    total_images: int

    def step(self) -> StepReport:
        """Train on one batch. Raises TrainingError when a loss is not finite; nothing has changed then."""
        ...

    def reconstructor(self) -> TileReconstructor | None:
        """What reconstructs tiles now; None where this phase trains no encoder, or has not shown an image."""
        ...

    def state(self) -> TrainingState:
        """What the GAN's state does not hold; the metadata under the phase's name."""
        ...

    def restore(self, state: TrainingState) -> None:
        """The inverse of `state`. Raises KeyError, ValueError, TypeError or RuntimeError."""
        ...


@dataclass(frozen=True)
class PlannedPhase:
    """The images that a phase will show, and what starts it once the phases before it are finished."""

    total_images: int
    start: Callable[[], Phase]


class PhasedTraining:
    """The game, then each of the `planned` phases, by name, in turn."""

    def __init__(self, gan: GanTraining, planned: Mapping[str, PlannedPhase]) -> None:
        self._gan, self._planned = gan, planned
        self._started: dict[str, Phase] = {}
        self.images = 0
        self.total_images = gan.total_images + sum(phase.total_images for phase in planned.values())

    def step(self) -> StepReport:
        """Train the current phase on one batch."""
        report = self._current().step()
        self.images = self._images_shown()
        return replace(report, images=self.images)

    def _current(self) -> GanTraining | Phase:
        """The first phase that is not finished, started if need be; the last one when all are."""
        if self._gan.images < self._gan.total_images:
            return self._gan
        for name, planned in self._planned.items():
            if name not in self._started:
                self._started[name] = planned.start()
            if self._started[name].images < self._started[name].total_images:
                return self._started[name]
        return self._started[name]

    def _images_shown(self) -> int:
        """Images of all phases, without what a last batch had too many: or else the next phase would end too early."""
        return sum(min(phase.images, phase.total_images) for phase in (self._gan, *self._started.values()))

    def samples(self, count: int, seed: int) -> npt.NDArray[np.float32]:
        """Samples of the generator, as GanTraining gives them."""
        return self._gan.samples(count, seed)

    def reconstructor(self) -> TileReconstructor | None:
        """That of the phase which trains the encoder; None before its first step."""
        found = (phase.reconstructor() for phase in self._started.values())
        return next((reconstructor for reconstructor in found if reconstructor is not None), None)

    def state(self) -> TrainingState:
        """The states of the game and of all phases that have started."""
        merged = self._gan.state()
        metadata = {**merged.metadata, "gan_images": self._gan.images, "images": self.images}
        for phase in self._started.values():
            state = phase.state()
            merged = TrainingState(merged.networks | state.networks, merged.optimizer | state.optimizer, {})
            metadata |= state.metadata
        return replace(merged, metadata=metadata)

    def restore(self, state: TrainingState) -> None:
        """The inverse of `state`. Raises CheckpointError."""
        try:
            self._gan.restore(replace(state, metadata={**state.metadata, "images": state.metadata["gan_images"]}))
            for name, planned in self._planned.items():
                if name in state.metadata:
                    self._started[name] = planned.start()
                    self._started[name].restore(state)
            self.images = self._images_shown()
        except (KeyError, ValueError, TypeError, RuntimeError, IndexError):
            raise CheckpointError("the checkpoint does not fit this configuration; start in a new folder") from None
