"""Checkpoints with 3x3 kernels are still read, and compute the same."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from latentline.errors import CheckpointError
from tests.trainer.runs import write_config
from trainer.checkpoint import load_checkpoint, read_training_state
from trainer.cli import load_config
from trainer.networks.layers import EqualizedConv2d, EqualizedDownConv2d, EqualizedUpConv2d
from trainer.networks.older_weights import has_older_kernels, with_free_kernels
from trainer.run.fit import fit


def test_converted_kernels_compute_what_the_older_layers_did() -> None:
    """Nearest up and 3x3, and 3x3 and average, equal the 4x4 layers with the converted weights in float64."""
    torch.manual_seed(0)
    older = EqualizedConv2d(3, 5, 3).double()
    torch.nn.init.normal_(older.bias)
    up, down = EqualizedUpConv2d(3, 5).double(), EqualizedDownConv2d(3, 5).double()
    for layer, name in ((up, "generator.blocks.0.up_conv"), (down, "encoder.blocks.0.down_conv")):
        weights = with_free_kernels({f"{name}.weight": older.weight.detach(), f"{name}.bias": older.bias.detach()})
        layer.load_state_dict({key.rpartition(".")[2]: value for key, value in weights.items()})
    x = torch.randn(2, 3, 8, 6, dtype=torch.float64)
    torch.testing.assert_close(up(x), older(F.interpolate(x, scale_factor=2, mode="nearest")))
    torch.testing.assert_close(down(x), F.avg_pool2d(older(x), 2))


def test_kernels_of_today_and_of_the_discriminator_stay() -> None:
    """A 4x4 kernel and the discriminator's 3x3 kernels are not touched."""
    tensors = {
        "average.blocks.0.up_conv.weight": torch.randn(2, 2, 4, 4),
        "discriminator.blocks.0.down_conv.weight": torch.randn(2, 2, 3, 3),
        "generator.blocks.0.conv.weight": torch.randn(2, 2, 3, 3),
    }
    assert not has_older_kernels(tensors)
    assert all(value is tensors[name] for name, value in with_free_kernels(tensors).items())


def test_an_older_checkpoint_loads_but_its_training_does_not_continue(tmp_path: Path) -> None:
    """Networks with 3x3 kernels load with 4x4 ones; a resume of their training is refused with one sentence."""
    config = load_config(write_config(tmp_path, final_images=16, encoder_images=16), None)
    checkpoint = fit(config, tmp_path / "run")
    path = checkpoint / "networks.safetensors"
    tensors = load_file(path)
    ends = {"generator": "up_conv.weight", "average": "up_conv.weight", "encoder": "down_conv.weight"}
    resampling = [n for n in tensors if n.endswith(ends.get(n.partition(".")[0], "none"))]
    assert {name.partition(".")[0] for name in resampling} == set(ends)
    older = {name: tensors[name][:, :, :3, :3].contiguous() for name in resampling}
    save_file({**tensors, **older}, path)
    loaded = load_checkpoint(tmp_path / "run")
    expected = with_free_kernels(older)["average.blocks.0.up_conv.weight"]
    torch.testing.assert_close(loaded.generator.state_dict()["blocks.0.up_conv.weight"], expected)
    assert loaded.encoder is not None
    with pytest.raises(CheckpointError, match="older version wrote this checkpoint, and its training cannot continue"):
        read_training_state(checkpoint)
