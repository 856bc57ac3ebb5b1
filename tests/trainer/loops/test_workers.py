"""Several processes train what one process trains."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from latentline.errors import ConfigError
from tests.sharing import free_port
from tests.trainer.runs import all_tensors, write_config
from trainer.cli import load_config
from trainer.loops.workers import Workers, open_workers
from trainer.networks.discriminator import Discriminator
from trainer.run.fit import fit
from trainer.run.history import read_history

# every step is logged
FIT = """
import sys
from pathlib import Path
from trainer.cli import load_config
from trainer.run import folder
from trainer.run.fit import fit
folder.LOG_EVERY = 1
fit(load_config(Path(sys.argv[1]), None), Path(sys.argv[2]), stop_after=32, device="cpu")
"""


def _two(arguments: list[str]) -> None:
    """Run a command as two processes, as torchrun does."""
    port = str(free_port())
    shared = {**os.environ, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": "1"}
    started = [
        subprocess.Popen(
            [sys.executable, *arguments],
            env={**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
        )
        for rank in range(2)
    ]
    errors = [process.communicate()[1].decode() for process in started]
    assert [p.returncode for p in started] == [0, 0], errors


def test_two_processes_train_what_one_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two steps, with penalty and fade-in: weights, average, recorded statistics, moments, losses and probabilities.

    Only one process writes; a single process can resume the run of two, and logs it. Where a gradient is nearly zero,
    Adam divides rounding by rounding, so weights may differ by a fortieth of a step.
    """
    path = write_config(tmp_path, stable_images=8, batch=16)
    config, one, two = load_config(path, None), tmp_path / "one", tmp_path / "two"
    _two(["-c", FIT, str(path), str(two)])
    monkeypatch.setattr("trainer.run.folder.LOG_EVERY", 1)
    fit(config, one, stop_after=32)
    expected, got = all_tensors(one), all_tensors(two)
    assert expected.keys() == got.keys() and "networks.safetensors discriminator.stddev_mean" in got
    for key in expected:
        atol = config.schedule.learning_rate / 40 if key.startswith("networks") else 1e-6
        torch.testing.assert_close(got[key], expected[key], rtol=1e-6, atol=atol, msg=key)
    for a, b in zip(read_history(one / "metrics.jsonl", 32), read_history(two / "metrics.jsonl", 32), strict=True):
        assert b.report.losses == pytest.approx(a.report.losses, rel=1e-5)
        assert b.report.probabilities == pytest.approx(a.report.probabilities, rel=1e-5)
    fit(config, two, resume=True, stop_after=48)
    assert "divided among 1 process instead of 2" in (two / "log.txt").read_text()


@pytest.mark.parametrize("count", [1, 2, 3])
def test_groups_of_the_discriminator_stay_within_a_process(count: int) -> None:
    """The shares are the batch, and D's statistics of each share are those of its rows in the whole batch."""
    torch.manual_seed(0)
    discriminator = Discriminator(8, 1, 64, 4)
    rows = torch.randn(24, 1, 8, 8)
    shares = [Workers(rank, count).shard(rows) for rank in range(count)]
    logits = {tuple(r.flatten().tolist()): v for s in shares for r, v in zip(s, discriminator(s)[0], strict=True)}
    assert len(logits) == 24
    expected = discriminator(rows)[0]
    got = torch.stack([logits[tuple(r.flatten().tolist())] for r in rows])
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-6)
    if count > 1:  # neighbours would be other groups
        neighbours = torch.cat([discriminator(part)[0] for part in rows.chunk(count)])
        assert (neighbours - expected).abs().max() > 1e-3


def test_a_batch_that_cannot_be_shared_is_refused() -> None:
    """The sentence names the key and the number it must be a multiple of."""
    with pytest.raises(ConfigError, match=r"schedule\.batch .* multiples of 16"):
        Workers(0, 4).check_batch(24)
    Workers(0, 3).check_batch(24)
    Workers(0, 1).check_batch(5)


@pytest.mark.parametrize("name", ["cuda:7", "gpu", "mps", "meta"])
def test_a_device_that_is_not_there_is_one_sentence(name: str) -> None:
    """The name given, and what may be given."""
    with pytest.raises(ConfigError, match=f"--device {name}"), open_workers(name):
        pass
