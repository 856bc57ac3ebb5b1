"""The networks are those of Karras et al. 2018, and a search couples no images."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.packages import networks, points
from tests.trainer.folder import tiny_config
from trainer.config import TrainConfig
from trainer.data.settings import Flip
from trainer.networks.discriminator import Discriminator
from trainer.networks.flip_average import average_over_flips
from trainer.networks.frozen import freeze
from trainer.networks.generator import Generator
from trainer.networks.layers import (
    HE_GAIN,
    EqualizedConv2d,
    EqualizedDownConv2d,
    EqualizedLinear,
    EqualizedUpConv2d,
    feature_maps,
    pixel_norm,
)
from trainer.reference.search import loss_and_gradient, reference_search, search_loss


@settings(max_examples=12)
@given(
    st.sampled_from([32, 64]),
    st.sampled_from([1, 3]),
    st.integers(0, 3),
    st.floats(0.05, 1),
    st.sampled_from([1, 2, 4]),
)
def test_every_stage_makes_and_judges_images_of_its_size(
    size: int, channels: int, stage: int, alpha: float, patch_size: int
) -> None:
    """Stage s works at 4·2^s positions of `patch_size` px, with every alpha."""
    generator = Generator(size, channels, 8, 64, 8, patch_size)
    discriminator = Discriminator(size, channels, 64, 8, patch_size, patch_head=size // patch_size >= 16)
    stage = min(stage, generator.last_stage)
    images = generator(torch.randn(4, 8), stage, alpha)
    assert images.shape == (4, channels, 4 * 2**stage * patch_size, 4 * 2**stage * patch_size)
    logit, features = discriminator(images, stage, alpha)
    assert logit.shape == (4,) and features.shape[2:] == (4, 4)
    if discriminator.patch_head is None:
        return
    patches = discriminator.outputs(torch.randn(4, channels, size, size), patch_head=True)[2]
    assert patches is not None and patches.shape == (4, size // patch_size // 4, size // patch_size // 4)


def test_a_patch_head_that_has_no_room_is_refused() -> None:
    """32 px in patches of 4 are 8 positions, and a head with patches of 4 x 4 of them could not say where."""
    content = tiny_config(Path("unused"))
    content["network"]["patch_size"], content["method"] = 4, {"kind": "noisy_anogan", "patch_head": 1.0}
    with pytest.raises(ValidationError, match=r"needs 16 positions.*are 8: lower network\.patch_size"):
        TrainConfig.model_validate(content)


def test_averaged_is_the_layers_it_stands_for() -> None:
    """One 4x4 kernel equals a 3x3 convolution and an average, in value and gradient of its weights."""
    torch.manual_seed(0)
    layer = EqualizedConv2d(3, 5, 3).double()
    torch.nn.init.normal_(layer.bias)
    x = torch.randn(2, 3, 8, 6, dtype=torch.float64)
    found, true = layer.averaged(x), F.avg_pool2d(layer(x), 2)
    torch.testing.assert_close(found, true)
    by_weight = [torch.autograd.grad(y.square().sum(), layer.weight)[0] for y in (found, true)]
    torch.testing.assert_close(*by_weight)


@pytest.mark.parametrize("layer", [EqualizedUpConv2d(5, 7), EqualizedDownConv2d(5, 7)], ids=["up", "down"])
def test_up_and_down_place_a_fine_pattern(layer: EqualizedUpConv2d | EqualizedDownConv2d) -> None:
    """A stripe of one pixel and the same stripe shifted by one pixel are two outputs of a kernel, or two codes for it.

    A low-pass kernel gives the shifted stripe nearly the same code, and cannot make the stripe at all.
    """
    stripes = torch.tensor([1.0, -1.0]).repeat(4).expand(1, 1, 8, 8)
    with torch.no_grad():
        layer.weight.zero_()
        if isinstance(layer, EqualizedUpConv2d):
            layer.weight[0, 0] = stripes[0, 0, :4, :4]
            made = layer(torch.ones(1, 5, 4, 4))[0, 0, 2:-2, 2:-2]
            assert float((made[:, 1:] - made[:, :-1]).abs().min()) > 1
        else:
            layer.weight[0, 0, 1:3, 1:3] = stripes[0, 0, :2, :2]
            codes = [layer(s.expand(1, 5, 8, 8))[0, 0] for s in (stripes, -stripes)]
            assert float((codes[0] - codes[1]).abs().min()) > 0.1


@pytest.mark.parametrize("alpha", [1e-6])
def test_fade_in_starts_where_the_stage_before_ended(alpha: float) -> None:
    """At alpha → 0 a new stage gives the upsampled image of the old one, and D the logit of the pooled image."""
    generator, discriminator = Generator(32, 1, 8, 64, 8), Discriminator(32, 1, 64, 8).eval()
    z = torch.randn(3, 8)
    old, new = generator(z, 2), generator(z, 3, alpha)
    torch.testing.assert_close(new, old.repeat_interleave(2, 2).repeat_interleave(2, 3), atol=1e-4, rtol=0)
    x = torch.randn(3, 1, 32, 32)
    pooled = x.reshape(3, 1, 16, 2, 16, 2).mean((3, 5))
    torch.testing.assert_close(discriminator(x, 3, alpha)[0], discriminator(pooled, 2)[0], atol=1e-3, rtol=1e-3)


def test_equalised_layers_start_with_unit_gain() -> None:
    """N(0, 1) inputs give outputs whose standard deviation is the gain, whatever the fan-in (Karras 2018, §4.1)."""
    torch.manual_seed(0)
    for features in (16, 256):
        out = EqualizedLinear(features, 4096, gain=1.0)(torch.randn(64, features))
        assert float(out.detach().std()) == pytest.approx(1, rel=0.1)
    out = EqualizedConv2d(32, 64, 3, gain=1.0)(torch.randn(2, 32, 32, 32))[..., 1:-1, 1:-1]
    assert float(out.detach().std()) == pytest.approx(1, rel=0.1)
    out = EqualizedUpConv2d(32, 64)(torch.randn(2, 32, 32, 32))[..., 1:-1, 1:-1]
    assert float(out.detach().std()) == pytest.approx(HE_GAIN, rel=0.1)
    smooth = torch.randn(256, 32, 1, 1).expand(-1, -1, 8, 8)
    out = EqualizedDownConv2d(32, 1024)(smooth)[..., 1:-1, 1:-1]
    assert float(out.detach().square().mean().sqrt()) == pytest.approx(HE_GAIN, rel=0.1)


def test_pixel_norm_gives_unit_mean_square() -> None:
    """Mean of squares over the channels is 1 at every position."""
    x = pixel_norm(torch.randn(2, 7, 3, 3) * 5)
    torch.testing.assert_close(x.square().mean(1), torch.ones(2, 3, 3))


def test_feature_maps_halve_with_resolution_up_to_the_maximum() -> None:
    """min(2·base / r, maximum)."""
    assert [feature_maps(r, 8192, 512) for r in (4, 16, 32, 64, 1024)] == [512, 512, 512, 256, 16]


def test_minibatch_stddev_sees_a_collapsed_batch_in_training_only() -> None:
    """In training the statistic depends on the batch and equals a NumPy evaluation; in eval mode it is the constant."""
    discriminator = Discriminator(32, 1, 64, 8)
    h = torch.randn(8, 5, 4, 4)
    groups = h.numpy().reshape(4, 2, -1)
    expected = np.sqrt(groups.var(axis=0) + 1e-8).mean(axis=1)
    got = discriminator._stddev_channel(h, record=True)
    np.testing.assert_allclose(got[:, 0, 0, 0], np.tile(expected, 4), rtol=1e-5)
    assert float(discriminator.stddev_mean) == pytest.approx(0.5 + 0.01 * (expected.mean() - 0.5), rel=1e-5)
    discriminator.eval()
    assert discriminator._stddev_channel(h, False).unique().numel() == 1  # type: ignore[no-untyped-call]


def test_averaged_logits_do_not_depend_on_the_side() -> None:
    """Mirrored images get the same logit, and mirrored patch logits; without flips they are D's own."""
    _, discriminator = networks(32, patch_head=True)
    _, x = points(32, 1, 6, 3)
    network, axes = discriminator.double().all_outputs, {"horizontal": -1, "vertical": -2}
    for one, own in zip(average_over_flips(network, x, ()), network(x), strict=True):
        assert torch.equal(one, own)
    flips: tuple[Flip, ...] = ("horizontal", "vertical")
    logit, features, patch_head = average_over_flips(network, x, flips)
    assert torch.equal(features, network(x)[1])
    assert not torch.allclose(logit, network(x)[0])
    for flip in flips:
        other, _, patches = average_over_flips(network, x.flip(axes[flip]), flips)
        torch.testing.assert_close(other, logit)
        torch.testing.assert_close(patches.flip(axes[flip]), patch_head)
        once, _, mirrored = average_over_flips(network, x, (flip,))
        torch.testing.assert_close(once, (network(x)[0] + network(x.flip(axes[flip]))[0]) / 2)
        assert not torch.allclose(mirrored, patch_head)


def test_search_loss_equals_the_papers_sums_in_numpy() -> None:
    """γ·[(1−λ)·Σ|x−G(z)| + λ·Σ|f(x)−f(G(z))|] + (1−γ)·Σ|1−D(G(z))|, per image."""
    generator, discriminator = freeze(Generator(32, 3, 8, 64, 8), Discriminator(32, 3, 64, 8))
    z, x = torch.randn(3, 8), torch.rand(3, 3, 32, 32) * 2 - 1
    gz = generator(z)
    logit, features = (t.numpy() for t in discriminator(gz))
    fx = discriminator(x)[1]
    residual = np.abs(x.numpy() - gz.numpy()).sum((1, 2, 3))
    feature = np.abs(fx.numpy() - features).sum((1, 2, 3))
    expected = 0.3 * (0.8 * residual + 0.2 * feature) + 0.7 * np.abs(1 - 1 / (1 + np.exp(-logit)))
    got = search_loss(generator, discriminator, z, x, fx, gamma=0.3, lam=0.2)
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-5)


def test_an_image_is_searched_alike_alone_and_in_company() -> None:
    """Neither gradient nor ẑ of one image depends on the others of its batch."""
    generator, discriminator = freeze(Generator(32, 1, 8, 64, 8).double(), Discriminator(32, 1, 64, 8).double())
    z, x = torch.randn(4, 8).double(), torch.rand(4, 1, 32, 32).double()
    fx = discriminator(x)[1]
    together = loss_and_gradient(generator, discriminator, z, x, fx, 0.1, 0.1)
    alone = loss_and_gradient(generator, discriminator, z[1:2], x[1:2], fx[1:2], 0.1, 0.1)
    for a, b in zip(together, alone, strict=True):
        torch.testing.assert_close(a[1:2], b)
    found = reference_search(generator, discriminator, x, z, 5, 0.05, 0.1, 0.1)
    torch.testing.assert_close(
        found[2:3], reference_search(generator, discriminator, x[2:3], z[2:3], 5, 0.05, 0.1, 0.1)
    )


def test_reference_search_is_torchs_adam() -> None:
    """ẑ equals what torch.optim.Adam finds from the same z."""
    generator, discriminator = freeze(Generator(32, 1, 8, 64, 8).double(), Discriminator(32, 1, 64, 8).double())
    start, x = torch.randn(2, 8).double(), torch.rand(2, 1, 32, 32).double()
    z = start.clone().requires_grad_(True)
    optimizer = torch.optim.Adam([z], lr=0.05)
    fx = discriminator(x)[1]
    for _ in range(10):
        optimizer.zero_grad()
        search_loss(generator, discriminator, z, x, fx, 0.1, 0.1).sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    torch.testing.assert_close(reference_search(generator, discriminator, x, start, 10, 0.05, 0.1, 0.1), z.detach())
