"""One step of Adam: mixed precision, several processes and losses that are not finite are dealt with here."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn.utils import get_total_norm

from latentline.errors import ConfigError
from trainer.loops.training import part
from trainer.loops.workers import Workers

Figures = Mapping[str, Tensor]


class OptimizerStep:
    """Adam on the weights of one loss.

    precision  of layers, as in ScheduleConfig; float16 scales the loss, so that small gradients do not vanish
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        betas: tuple[float, float],
        precision: str,
        workers: Workers,
        weight_decay: float = 0.0,
    ) -> None:
        if precision == "float16" and workers.device.type != "cuda":
            raise ConfigError("schedule.precision float16 needs a GPU; use bfloat16 or float32 on a CPU")
        self._parameters, self._workers = list(parameters), workers
        self._adam = torch.optim.Adam(self._parameters, betas=betas, weight_decay=weight_decay, fused=True)
        self._scaler = torch.amp.GradScaler("cuda", enabled=precision == "float16")

    def step(self, loss: Tensor, learning_rate: float, figures: Figures) -> dict[str, float]:
        """Go down `loss`, a scalar; give `figures`, scalars, averaged over the processes.

        Raises FloatingPointError, before any weight changes, when one of them or the gradient is not finite.
        """
        self._adam.zero_grad(set_to_none=True)
        self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        gradients = [p.grad for p in self._parameters if p.grad is not None]
        self._workers.average(gradients)
        values = torch.stack([v.detach().float() for v in (*figures.values(), loss)])
        self._workers.average([values])
        # everything is read at once: each reading makes the CPU wait for the GPU
        *shown, total, norm = torch.cat([values, get_total_norm(gradients)[None]]).tolist()
        if not math.isfinite(total):
            raise FloatingPointError("the loss is not finite")
        if not (math.isfinite(norm) or self._scaler.is_enabled()):  # the scaler skips such a step, and scales less
            raise FloatingPointError("the gradient of the loss is not finite")
        self._adam.param_groups[0]["lr"] = learning_rate
        self._scaler.step(self._adam)
        self._scaler.update()
        return dict(zip(figures, shown, strict=True))

    def state(self, name: str) -> dict[str, Tensor]:
        """Adam's moments and the scale as tensors under `name.`."""
        moments = {
            f"{name}.{index}.{key}": value.contiguous().cpu()
            for index, fields in self._adam.state_dict()["state"].items()
            for key, value in fields.items()
        }
        if self._scaler.is_enabled():
            scale = self._scaler.state_dict()
            moments[f"{name}.scale"] = torch.tensor([scale["scale"], scale["_growth_tracker"]], dtype=torch.float64)
        return moments

    def restore(self, tensors: Mapping[str, Tensor], name: str) -> None:
        """The inverse of `state`. Raises KeyError, ValueError or RuntimeError when it does not fit."""
        state: dict[int, dict[str, Tensor]] = {}
        own = part(dict(tensors), name)
        scale = own.pop("scale", None)
        for key, value in own.items():
            index, field = key.split(".")
            parameter = self._parameters[int(index)]
            # moments are laid out as their weights are (channels last): Adam's fused kernel goes through memory
            laid_out = torch.empty_like(parameter).copy_(value) if value.dim() else value.clone()
            state.setdefault(int(index), {})[field] = laid_out.detach()
        self._adam.load_state_dict({"state": state, "param_groups": self._adam.state_dict()["param_groups"]})
        if scale is not None and self._scaler.is_enabled():
            known = self._scaler.state_dict()
            self._scaler.load_state_dict({**known, "scale": float(scale[0]), "_growth_tracker": int(scale[1])})


def mixed(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """Layers in `precision` within this context; sums and losses stay float32."""
    if precision == "float32":
        return nullcontext()
    return torch.autocast(device.type, getattr(torch, precision))
