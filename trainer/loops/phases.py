"""A GAN and what follows it, the encoder, then the discriminator alone, as one Training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from latentline.errors import CheckpointError
from trainer.loops.gan import GanTraining
from trainer.loops.training import StepReport, TrainingState


class Phase(Protocol):
    """A training that begins with what the one before left; `images` of its own `total_images` are shown."""

    images: int
    total_images: int

    def step(self) -> StepReport:
        """Show one batch. Raises TrainingError when a loss is not finite: nothing has changed then."""
        ...

    def state(self) -> TrainingState:
        """What the GAN's state does not hold; `rest` under the phase's name."""
        ...

    def restore(self, state: TrainingState) -> None:
        """The inverse of `state`. Raises KeyError, ValueError, TypeError or RuntimeError."""
        ...


class GanPhases:
    """The GAN, then each of `later` in turn.

    later  name -> (images it will show, what makes it once those before it are finished)
    """

    def __init__(self, gan: GanTraining, later: Mapping[str, tuple[int, Callable[[], Phase]]]) -> None:
        self._gan, self._later = gan, later
        self._begun: dict[str, Phase] = {}
        self.images = 0
        self.total_images = gan.total_images + sum(images for images, _ in later.values())

    def step(self) -> StepReport:
        """One batch to whoever's turn it is."""
        report = self._now().step()
        self.images = self._shown()
        return replace(report, images=self.images)

    def _now(self) -> GanTraining | Phase:
        if self._gan.images < self._gan.total_images:
            return self._gan
        for name, (_, make) in self._later.items():
            if name not in self._begun:
                self._begun[name] = make()
            if self._begun[name].images < self._begun[name].total_images:
                return self._begun[name]
        return self._begun[name]  # all are finished: the last goes on, as long as somebody asks

    def _shown(self) -> int:
        """Images of all. What a last batch had too many does not count: the next phase would end too early."""
        return sum(min(phase.images, phase.total_images) for phase in (self._gan, *self._begun.values()))

    def samples(self, count: int, seed: int) -> npt.NDArray[np.float32]:
        """Of the generator."""
        return self._gan.samples(count, seed)

    def state(self) -> TrainingState:
        """Of all that have begun."""
        whole = self._gan.state()
        rest = {**whole.rest, "gan_images": self._gan.images, "images": self.images}
        for phase in self._begun.values():
            own = phase.state()
            whole = TrainingState(whole.networks | own.networks, whole.optimizer | own.optimizer, {})
            rest |= own.rest
        return replace(whole, rest=rest)

    def restore(self, state: TrainingState) -> None:
        """The inverse of `state`. Raises CheckpointError."""
        try:
            self._gan.restore(replace(state, rest={**state.rest, "images": state.rest["gan_images"]}))
            for name, (_, make) in self._later.items():
                if name in state.rest:
                    self._begun[name] = make()
                    self._begun[name].restore(state)
            self.images = self._shown()
        except (KeyError, ValueError, TypeError, RuntimeError, IndexError):
            raise CheckpointError("the checkpoint does not fit this configuration; start in a new folder") from None
