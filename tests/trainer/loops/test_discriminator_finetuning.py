"""The discriminator alone: it learns what is known abnormal, and what it learnt is in the checkpoint."""

from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from latentline.errors import TrainingError
from tests.trainer.folder import tiny_config, write_folder
from trainer.checkpoint import load_checkpoint
from trainer.config import TrainConfig
from trainer.loops.factory import build_training
from trainer.run.fit import fit
from trainer.run.training_data import load_training_data

pytestmark = pytest.mark.usefixtures("undrawn")


def config_of(folder: Path, **schedule: object) -> TrainConfig:
    content = tiny_config(write_folder(folder / "data"), fade_images=1, stable_images=0, final_images=16, **schedule)
    return TrainConfig.model_validate(
        {**content, "method": {"kind": "noisy_anogan", "patch_head": 1.0, "pasted_fraction": 0.5}}
    )


def test_fine_tuning_tells_known_defects_from_normal_tiles(tmp_path: Path) -> None:
    """Where the game alone left D undecided; the patch head says where, and D in the checkpoint is the average."""
    config = config_of(tmp_path, discriminator_images=1600)
    data = load_training_data(config)
    discriminator = load_checkpoint(fit(config, tmp_path / "run")).discriminator
    assert discriminator is not None and data.abnormal is not None
    rng = np.random.default_rng(9)
    tiles, masks, _ = data.abnormal.draw_with_masks(64, rng)
    with torch.no_grad():
        real, (abnormal, _, patches) = (
            discriminator(data.normal.draw(64, rng))[0],
            discriminator.outputs(tiles, patch_head=True),
        )
    assert real.sigmoid().mean() > abnormal.sigmoid().mean() + 0.5
    shown = torch.nn.functional.max_pool2d(masks.float(), 4).squeeze(1) > 0
    assert patches is not None and patches[~shown].mean() > patches[shown].mean() + 1


def test_the_generator_and_what_comes_after_do_not_know_of_it(tmp_path: Path) -> None:
    """With and without fine-tuning D the generator is the same to the bit: that phase has a random state of its own."""
    with_it = load_checkpoint(fit(config_of(tmp_path / "a", discriminator_images=32), tmp_path / "with")).generator
    without = load_checkpoint(fit(config_of(tmp_path / "b"), tmp_path / "without")).generator
    assert all(torch.equal(a, b) for a, b in zip(with_it.parameters(), without.parameters(), strict=True))


def test_a_loss_that_is_not_finite_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence says in which phase, and D is as it was."""
    config = config_of(tmp_path, discriminator_images=32)
    data = load_training_data(config)
    training = build_training(config, data.normal, data.abnormal)
    while "discriminator_finetuning" not in training.step().losses:
        pass
    before = {k: v.clone() for k, v in training.state().networks.items()}
    monkeypatch.setattr(
        "trainer.loops.discriminator_finetuning.discriminator_finetune_loss", lambda *_: torch.tensor(float("nan"))
    )
    with pytest.raises(TrainingError, match="discriminator fine-tuning, after 8 images: the loss is not finite"):
        training.step()
    after = training.state().networks
    assert all(torch.equal(before[k], after[k]) for k in before)


def test_a_search_does_not_follow_a_finetuned_discriminator() -> None:
    """D(G(z)) in L' is refused where D is fine-tuned; the sentence says what to set."""
    content = {**tiny_config(Path("unused"), discriminator_images=8), "search": {"gamma": 0.1}}
    with pytest.raises(ValidationError, match=r"set search\.gamma to 1"):
        TrainConfig.model_validate(content)


@pytest.mark.parametrize("kind", ["anogan", "autoencoder"])
def test_methods_that_are_shown_nothing_abnormal_do_not_finetune_the_discriminator(kind: str) -> None:
    """A configuration that asks for one is refused, with the key."""
    content = {**tiny_config(Path("unused"), discriminator_images=8), "method": {"kind": kind}}
    content["search"] = {"iterations": 0 if kind == "autoencoder" else 3, "gamma": 1.0}
    with pytest.raises(ValidationError, match=r"schedule\.discriminator_images shows known-abnormal images"):
        TrainConfig.model_validate(content)
