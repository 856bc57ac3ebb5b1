"""Processes that train together, one for each GPU, started by torchrun on one machine or several.

One all-reduce averages the gradients after the backward pass. DistributedDataParallel would do it during that pass, but
expects one forward and one backward pass a step; here D runs several times a step, and its penalty differentiates it
twice. Every process draws the whole global batch from the same random state and keeps its own rows: any number of
processes trains what a single one would.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
import torch.distributed as dist
from torch import Tensor

from latentline.errors import ConfigError
from trainer.networks.discriminator import STDDEV_GROUP


@dataclass(frozen=True)
class Workers:
    """This process is number `rank` of `count`; its networks are on `device`."""

    rank: int = 0
    count: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def is_main(self) -> bool:
        """Whether this process writes the run folder."""
        return self.rank == 0

    def check_batch(self, batch: int) -> None:
        """Raise ConfigError when a global batch does not give each process as many whole groups as the others."""
        if self.count > 1 and batch % (STDDEV_GROUP * self.count):
            raise ConfigError(
                f"a batch of {batch} does not divide among {self.count} processes; "
                f"set schedule.batch and schedule.batch_per_resolution to multiples of {STDDEV_GROUP * self.count}"
            )

    def shard(self, rows: Tensor) -> Tensor:
        """This process's rows of a global batch, on its device.

        D groups the rows r, r + N/4, r + N/2, r + 3N/4 of a batch of N. Each process gets whole groups, in an order in
        which it forms the same groups again.
        """
        if self.count > 1:
            rows = rows.reshape(STDDEV_GROUP, self.count, -1, *rows.shape[1:])[:, self.rank].flatten(0, 1)
        return rows.to(self.device)

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its mean over the processes."""
        if self.count == 1 or not tensors:
            return
        flat = torch.cat([t.reshape(-1) for t in tensors])
        dist.all_reduce(flat)
        flat /= self.count
        for tensor, mean in zip(tensors, torch.split(flat, [t.numel() for t in tensors]), strict=True):
            tensor.copy_(mean.view(tensor.shape))

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process; each process waits here for all others."""
        if self.count == 1:
            return flag
        mean = torch.tensor([float(flag)], device=self.device)
        self.average([mean])
        return bool(mean.item())


ALONE = Workers()


@contextmanager
def open_workers(device: str) -> Iterator[Workers]:
    """Join the processes that torchrun started, or train alone.

    device  auto, cpu, cuda or cuda:n; under torchrun each process takes a GPU of its own
    Raises ConfigError when there is no such device.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield Workers(device=_device(device))
        return
    gpu = _device(device).type == "cuda"
    own = _device(f"cuda:{os.environ['LOCAL_RANK']}") if gpu else torch.device("cpu")
    if gpu:
        torch.cuda.set_device(own)
    dist.init_process_group("nccl" if gpu else "gloo")
    try:
        yield Workers(dist.get_rank(), count, own)
    finally:
        dist.destroy_process_group()


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError(f"--device {name}: there is no such device; give auto, cpu, cuda or cuda:n") from None
    if device.type not in ("cpu", "cuda"):
        raise ConfigError(f"--device {name}: training does not run there; give auto, cpu, cuda or cuda:n")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        found = torch.cuda.device_count()
        raise ConfigError(f"--device {name}: this machine has {found} usable NVIDIA GPUs; give cpu or a smaller number")
    return device
