"""One step of Adam: the same as plain Adam, in mixed precision too, and never to a weight that is not finite."""

import warnings

import pytest
import torch
from torch import Tensor, nn

from latentline.errors import ConfigError
from trainer.loops.optimizer_step import OptimizerStep, autocast, learning_rate_at
from trainer.loops.workers import ALONE
from trainer.networks.discriminator import Discriminator
from trainer.networks.generator import Generator


def _network() -> nn.Module:
    torch.manual_seed(3)
    network = Discriminator(16, 1, 64, 8)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


def _loss(network: nn.Module, seed: int) -> torch.Tensor:
    x = torch.randn(8, 1, 16, 16, generator=torch.Generator().manual_seed(seed))
    loss: Tensor = network(x)[0].square().mean()
    return loss


def test_steps_equal_plain_adam() -> None:
    """Against torch's unfused implementation, five steps with a falling rate."""
    network, twin = _network(), _network()
    optimizer_step = OptimizerStep(network.parameters(), (0.5, 0.9), "float32", ALONE, weight_decay=0.01)
    adam = torch.optim.Adam(twin.parameters(), betas=(0.5, 0.9), weight_decay=0.01, foreach=False, fused=False)
    for step in range(5):
        rate = 0.01 / (step + 1)
        optimizer_step.step(_loss(network, step), rate, {})
        adam.param_groups[0]["lr"] = rate
        adam.zero_grad()
        _loss(twin, step).backward()  # type: ignore[no-untyped-call]
        adam.step()
    for got, expected in zip(network.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-6)


def test_a_restored_descent_goes_on_to_the_bit() -> None:
    """Moments come back in the layout of their weights."""
    network, twin = _network(), _network()
    optimizer_step = OptimizerStep(network.parameters(), (0.0, 0.99), "float32", ALONE)
    for step in range(3):
        optimizer_step.step(_loss(network, step), 0.01, {})
    twin.load_state_dict(network.state_dict())
    other = OptimizerStep(twin.parameters(), (0.0, 0.99), "float32", ALONE)
    other.restore(optimizer_step.state("d"), "d")
    for step in range(3, 6):
        optimizer_step.step(_loss(network, step), 0.01, {})
        other.step(_loss(twin, step), 0.01, {})
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), twin.parameters(), strict=True))


@pytest.mark.parametrize("fault", ["loss", "gradient"])
def test_nothing_changes_when_loss_or_gradient_is_not_finite(fault: str) -> None:
    """A finite loss may have an infinite gradient: the root of zero."""
    network = _network()
    before = [p.clone() for p in network.parameters()]
    optimizer_step = OptimizerStep(network.parameters(), (0.0, 0.99), "float32", ALONE)
    zero = (_loss(network, 0) * 0).abs()
    with pytest.raises(FloatingPointError, match=fault):
        optimizer_step.step(zero.sqrt() if fault == "gradient" else zero / 0, 0.01, {})
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), before, strict=True))


def test_layers_narrow_to_bfloat16_and_stay_near_float32() -> None:
    """Convolutions run in bfloat16; images and logits differ by its rounding only; gradients are float32."""
    torch.manual_seed(0)
    generator, discriminator = Generator(32, 1, 8, 64, 8), Discriminator(32, 1, 64, 8)
    seen: list[torch.dtype] = []
    for network in (generator, discriminator):
        for name, module in network.named_modules():
            if name.endswith("conv"):
                module.register_forward_hook(lambda _m, _i, out: seen.append(out.dtype))
    z = torch.randn(8, 8)
    logit, features = discriminator(generator(z, 2, 0.5), 2, 0.5)
    seen.clear()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with autocast("bfloat16", torch.device("cpu")):
            narrow_logit, narrow_features = discriminator(generator(z, 2, 0.5), 2, 0.5)
    assert set(seen) == {torch.bfloat16} and narrow_features.dtype == torch.bfloat16
    torch.testing.assert_close(narrow_logit.float(), logit, rtol=0.05, atol=0.05)
    torch.testing.assert_close(narrow_features.float(), features, rtol=0.1, atol=0.05)
    assert not torch.equal(narrow_features.float(), features)
    narrow_logit.float().sum().backward()
    assert {p.grad.dtype for p in generator.parameters() if p.grad is not None} == {torch.float32}


def test_float16_without_a_gpu_is_refused() -> None:
    """The sentence names the key and what to use instead."""
    with pytest.raises(ConfigError, match=r"schedule\.precision float16 needs a GPU; use bfloat16"):
        OptimizerStep(_network().parameters(), (0.0, 0.99), "float16", ALONE)


def test_learning_rate_falls_over_the_last_quarter_only() -> None:
    """Constant, then linear to a twentieth."""
    rates = [learning_rate_at(1.0, i, 100) for i in range(101)]
    assert rates[:76] == [1.0] * 76 and rates == sorted(rates, reverse=True) and rates[-1] == 0.05
