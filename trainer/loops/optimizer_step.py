"""One step of Adam: handles mixed precision, several processes and losses that are not finite."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn.utils import get_total_norm

from latentline.errors import ConfigError
from trainer.loops.training import tensors_under
from trainer.loops.workers import Workers


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

    def step(self, loss: Tensor, learning_rate: float, metrics: Mapping[str, Tensor]) -> dict[str, float]:
        """Take one step down the gradient of `loss`, a scalar; give `metrics`, scalars, averaged over the processes.

        Raises FloatingPointError, before any weight changes, when the loss or its gradient is not finite.
        """
        self._adam.zero_grad(set_to_none=True)
        self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        gradients = [p.grad for p in self._parameters if p.grad is not None]
        self._workers.average(gradients)
        values = torch.stack([v.detach().float() for v in (*metrics.values(), loss)])
        self._workers.average([values])
        # one read for all numbers: each read makes the CPU wait for the GPU
        *averaged, total, norm = torch.cat([values, get_total_norm(gradients)[None]]).tolist()
        if not math.isfinite(total):
            raise FloatingPointError("the loss is not finite")
        if not (math.isfinite(norm) or self._scaler.is_enabled()):  # the scaler skips such a step and lowers its scale
            raise FloatingPointError("the gradient of the loss is not finite")
        self._adam.param_groups[0]["lr"] = learning_rate
        self._scaler.step(self._adam)
        self._scaler.update()
        return dict(zip(metrics, averaged, strict=True))

    def state(self, name: str) -> dict[str, Tensor]:
        """Adam's moments and the loss scale as tensors under `name.`."""
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
        """The inverse of `state`. Raises KeyError, ValueError or RuntimeError when the tensors do not fit."""
        state: dict[int, dict[str, Tensor]] = {}
        own = tensors_under(tensors, name)
        scale = own.pop("scale", None)
        for key, value in own.items():
            index, field = key.split(".")
            parameter = self._parameters[int(index)]
            # Adam's fused kernel walks through memory: moments need the layout of their weights (channels last)
            laid_out = torch.empty_like(parameter).copy_(value) if value.dim() else value.clone()
            state.setdefault(int(index), {})[field] = laid_out.detach()
        self._adam.load_state_dict({"state": state, "param_groups": self._adam.state_dict()["param_groups"]})
        if scale is not None and self._scaler.is_enabled():
            fields = self._scaler.state_dict()
            self._scaler.load_state_dict({**fields, "scale": float(scale[0]), "_growth_tracker": int(scale[1])})


def learning_rate_at(base: float, images: int, total: int) -> float:
    """The learning rate after `images` of `total`: `base`, then linear to a twentieth over the last quarter."""
    left = 1 - images / total
    return base * min(1.0, max(0.05, 4 * left))


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """A context in which layers compute in `precision`; sums and losses stay float32."""
    if precision == "float32":
        return nullcontext()
    return torch.autocast(device.type, getattr(torch, precision))
