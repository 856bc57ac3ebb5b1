"""Two rows of a table may share one training where it would have been the same."""

from pathlib import Path

import pytest

from bench.detection.protocol.taken_networks import take_networks
from latentline.errors import ConfigError
from tests.trainer.folder import tiny_config, write_folder
from trainer.checkpoint import load_checkpoint
from trainer.config import TrainConfig
from trainer.run.fit import fit


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> TrainConfig:
    """PCA on a folder with 16 known-abnormal images, a third of which would weight the score of Noisy-AnoGAN."""
    data = write_folder(tmp_path_factory.mktemp("data"), train=96, good=6, defects=32)
    given = {**tiny_config(data), "method": {"kind": "pca"}, "search": {"iterations": 0}}
    given["schedule"] = {"final_images": 64, "batch": 8}
    return TrainConfig.model_validate(given)


@pytest.fixture(scope="module")
def trained(config: TrainConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its finished run."""
    run = tmp_path_factory.mktemp("run")
    fit(config, run, device="cpu")
    return run


def test_networks_serve_fewer_known_defects(config: TrainConfig, trained: Path, tmp_path: Path) -> None:
    """PCA sees no defect: the weights are the same bytes, and the split has as many known ones as asked for."""
    fewer = config.model_copy(update={"data": config.data.model_copy(update={"known_abnormal_limit": 2})})
    take_networks(trained, tmp_path / "fewer", fewer)
    weights = [run / "checkpoint" / "networks.safetensors" for run in (trained, tmp_path / "fewer")]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    before, after = load_checkpoint(trained).split, load_checkpoint(tmp_path / "fewer").split
    assert (len(before.known_abnormal), len(before.validation_abnormal)) == (11, 5)
    assert (len(after.known_abnormal), len(after.validation_abnormal)) == (0, 2)
    assert (before.train, before.held_out, before.test_abnormal) == (after.train, after.held_out, after.test_abnormal)


def test_what_a_training_saw_cannot_be_changed_later(config: TrainConfig, trained: Path, tmp_path: Path) -> None:
    """Another seed has other images: a sentence names what differs, and nothing is written."""
    other = config.model_copy(update={"schedule": config.schedule.model_copy(update={"seed": 1})})
    with pytest.raises(ConfigError, match=r"saw other values of schedule\.seed, train, .*; train it anew"):
        take_networks(trained, tmp_path / "other", other)
    assert not (tmp_path / "other").exists()
