"""The encoder starts the search nearer to its end than a random latent does."""

from pathlib import Path

import numpy as np
import torch
import yaml

from latentline.preprocessing import to_model_range
from tests.trainer.folder import tiny_config, write_folder
from trainer.checkpoint import load_checkpoint
from trainer.cli import load_config
from trainer.fit import fit
from trainer.losses.encoder import izi_f_loss
from trainer.reference_searcher import ReferenceSearcher


def test_izi_f_equals_its_equation_in_numpy() -> None:
    """‖x − x̂‖² / n + κ·‖f(x) − f(x̂)‖² / n_d, mean over the batch."""
    rng = np.random.default_rng(0)
    x, y, fx, fy = rng.normal(size=(3, 1, 8, 8)), rng.normal(size=(3, 1, 8, 8)), *rng.normal(size=(2, 3, 5, 4, 4))
    expected = np.mean(
        [((a - b) ** 2).sum() / 64 + 0.5 * ((c - d) ** 2).sum() / 80 for a, b, c, d in zip(x, y, fx, fy, strict=True)]
    )
    got = izi_f_loss(*(torch.from_numpy(v) for v in (x, y, fx, fy)), kappa=0.5)
    np.testing.assert_allclose(float(got), expected, rtol=1e-12)


def test_a_trained_encoder_is_in_the_checkpoint_and_starts_nearer(tmp_path: Path) -> None:
    """L' of normal tiles without any iteration is lower from the encoder's z than from the random one."""
    config = tmp_path / "config.yaml"
    content = tiny_config(write_folder(tmp_path / "data"), encoder_images=640, final_images=480)
    config.write_text(yaml.safe_dump({**content, "search": {"iterations": 0}}))
    checkpoint = load_checkpoint(fit(load_config(config, None), tmp_path / "run"))
    assert checkpoint.encoder is not None and checkpoint.discriminator is not None
    rng = np.random.default_rng(1)
    tiles = np.clip(110 + 50 * np.sin(np.arange(32) / 3 + rng.uniform(0, 6, (6, 1, 1, 1))), 0, 255).astype(np.uint8)
    tiles = np.broadcast_to(tiles.transpose(0, 1, 3, 2), (6, 32, 32, 1)).copy()
    warm = ReferenceSearcher(checkpoint, checkpoint.config.search).search(tiles)
    without = type(checkpoint)(**{**vars(checkpoint), "encoder": None})
    cold = ReferenceSearcher(without, checkpoint.config.search).search(tiles)
    assert warm.loss.mean() < cold.loss.mean()
    np.testing.assert_allclose(np.square(warm.z).mean(axis=1), 1, rtol=1e-3)
    assert (
        np.abs(to_model_range(tiles) - warm.reconstruction).mean()
        < np.abs(to_model_range(tiles) - cold.reconstruction).mean()
    )
