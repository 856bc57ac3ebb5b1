"""Two processes train an autoencoder as one process does with the same global batch."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file, save_file
from torch.multiprocessing.spawn import start_processes

from tests import warm
from tests.trainer.loops.test_autoencoder import ANOVAEGAN, SSIM, VAE, start
from trainer.loops.training import StepReport
from trainer.loops.workers import ALONE, Workers

METHODS: dict[str, dict[str, Any]] = {"ssim": SSIM, "vae": VAE, "anovaegan": ANOVAEGAN}


def train(method: dict[str, Any], workers: Workers) -> tuple[dict[str, torch.Tensor], StepReport]:
    """Networks, and the gradients they had, after one step."""
    training = start(method, workers=workers, batch=16)
    report = training.step()
    named = [(f"{n}.{k}.grad", p.grad) for n, m in training._networks().items() for k, p in m.named_parameters()]
    return {**training.state().networks, **{k: g.contiguous() for k, g in named if g is not None}}, report


def one_of_two(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder / 'meeting'}", rank=rank, world_size=2)
    for name, method in METHODS.items():
        networks, report = train(method, Workers(rank, 2))
        numbers = {f"report.{k}": torch.tensor(v) for k, v in (*report.losses.items(), *report.probabilities.items())}
        save_file({**networks, **numbers}, folder / f"{name}.{rank}")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("two")
    warm.prepare()
    start_processes(one_of_two, (folder,), nprocs=2, start_method="forkserver")  # type: ignore[no-untyped-call]
    return folder


@pytest.mark.parametrize("name", METHODS)
def test_two_processes_train_what_one_does(together: Path, name: str) -> None:
    """The same gradients, statistics of the norms (of the global batch, not of each process's rows) and figures.

    Weights are the same in both; against one process they are not compared: the first step of Adam is a sign, and
    float32 does not decide that of a gradient of 1e-9.
    """
    networks, report = train(METHODS[name], ALONE)
    first, second = load_file(together / f"{name}.0"), load_file(together / f"{name}.1")
    for key, value in networks.items():
        assert torch.equal(first[key], second[key]), key
        if key.endswith(".grad") or "running" in key or "stddev" in key:
            assert float((first[key] - value).abs().max()) <= 1e-3 * float(value.abs().max()), key
    for key, number in (*report.losses.items(), *report.probabilities.items()):
        if key != "contrast":  # a ratio, whose means over the processes need not be that of the whole
            assert float(first[f"report.{key}"]) == pytest.approx(number, rel=1e-3, abs=1e-5), key
