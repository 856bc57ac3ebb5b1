"""Adam's moments as plain tensors, so that a checkpoint holds no pickle."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor
from torch.optim import Optimizer


def optimizer_tensors(optimizers: Mapping[str, Optimizer]) -> dict[str, Tensor]:
    """Every moment under `<optimizer>.<parameter's index>.<moment>`."""
    return {
        f"{name}.{index}.{moment}": value.contiguous()
        for name, optimizer in optimizers.items()
        for index, moments in optimizer.state_dict()["state"].items()
        for moment, value in moments.items()
    }


def restore_optimizers(optimizers: Mapping[str, Optimizer], tensors: Mapping[str, Tensor]) -> None:
    """The inverse; tensors of other names are left alone. Raises ValueError or KeyError when they do not fit."""
    for name, optimizer in optimizers.items():
        moments: dict[int, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            if key.startswith(name + "."):
                index, moment = key[len(name) + 1 :].split(".")
                moments.setdefault(int(index), {})[moment] = value
        optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
