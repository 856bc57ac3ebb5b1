"""What the trainings of GANs and of autoencoders save, and how they continue from it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

from latentline.errors import CheckpointError
from trainer.loops.optimizer_step import OptimizerStep
from trainer.loops.training import TrainingState, tensors_under


class NetworkTraining(ABC):
    """A training with networks, optimisers, a generator of latents and one of crops."""

    images: int
    _steps: int
    _latents: torch.Generator
    _crops: np.random.Generator
    _optimizer_steps: Mapping[str, OptimizerStep]

    @abstractmethod
    def _networks(self) -> dict[str, nn.Module]:
        """The networks by their names in a checkpoint."""

    def state(self) -> TrainingState:
        """Networks, optimisers and random states, for a checkpoint."""
        modules = self._networks().items()
        networks = {f"{name}.{k}": v.contiguous().cpu() for name, m in modules for k, v in m.state_dict().items()}
        optimizer = {"latents": self._latents.get_state()}
        for name, optimizer_step in self._optimizer_steps.items():
            optimizer |= optimizer_step.state(name)
        metadata = {"images": self.images, "steps": self._steps, "crops": self._crops.bit_generator.state}
        return TrainingState(networks, optimizer, metadata)

    def restore(self, state: TrainingState) -> None:
        """Continue from the state of a checkpoint of the same configuration. Raises CheckpointError."""
        try:
            for name, network in self._networks().items():
                network.load_state_dict(tensors_under(state.networks, name))
            for name, optimizer_step in self._optimizer_steps.items():
                optimizer_step.restore(state.optimizer, name)
            self._latents.set_state(state.optimizer["latents"])
            self.images, self._steps = int(state.metadata["images"]), int(state.metadata["steps"])
            self._crops.bit_generator.state = state.metadata["crops"]
        except (KeyError, ValueError, TypeError, RuntimeError, IndexError):
            raise CheckpointError("the checkpoint does not fit this configuration; start in a new folder") from None
