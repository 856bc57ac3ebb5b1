"""How much of a training is done, in time: an image of a late stage costs many times as much as one of the first.

The costs are relative. Each network is timed once on a batch at each stage; how often a step runs it, forwards and
backwards, is known. A backward pass counts as two forward ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from time import perf_counter

import torch
from torch import Tensor

from trainer.config import TrainConfig
from trainer.loops.growth import stage_resolution
from trainer.methods import GanMethod, NoisyAnoGan
from trainer.networks.discriminator import Discriminator
from trainer.networks.factory import build_encoder, build_gan

TRIALS = 3  # the fastest counts, so that other work on the machine does not
BATCH = 8
GENERATOR_PASSES = 3.0  # of the game: forwards, backwards
CRITIC_PASSES = 3.0  # of D on each batch that it learns from
CRITIC_OF_GENERATOR = 3.0  # of D while G learns, backwards to its input
PENALTY = 6.0  # of D, a derivative of a derivative, every `r1_every` steps


@dataclass(frozen=True)
class Stretch:
    """Images in a row of which each costs the same."""

    images: int
    cost: float


@dataclass(frozen=True)
class Workload:
    """The stretches of a whole training, in order."""

    stretches: tuple[Stretch, ...]

    @property
    def total(self) -> float:
        """The work of the whole training."""
        return sum(stretch.images * stretch.cost for stretch in self.stretches)

    def done(self, images: int) -> float:
        """The work of the first `images`."""
        work = 0.0
        for stretch in self.stretches:
            work += min(images, stretch.images) * stretch.cost
            images = max(0, images - stretch.images)
        return work


@dataclass(frozen=True)
class StageCosts:
    """Seconds of a forward pass of one image: of generator and discriminator by stage, of the encoder at the last."""

    generator: Sequence[float]
    discriminator: Sequence[float]
    encoder: float


def measure_workload(config: TrainConfig, total_images: int, device: torch.device) -> Workload:
    """The workload of the training that `config` describes, measured within a second; no random state changes."""
    if not isinstance(config.method, GanMethod):
        return Workload((Stretch(total_images, 1.0),))
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        return gan_workload(config, _measure_stages(config, device))


def gan_workload(config: TrainConfig, costs: StageCosts) -> Workload:
    """The stages of the game, then its phases, at these costs."""
    method, schedule = config.method, config.schedule
    assert isinstance(method, GanMethod)
    batches = 3 if isinstance(method, NoisyAnoGan) else 2  # real, generated, abnormal
    critic = batches * CRITIC_PASSES + CRITIC_OF_GENERATOR + (PENALTY / method.r1_every if method.r1 else 0.0)
    last = len(costs.generator) - 1
    stretches = []
    for stage, (generator, discriminator) in enumerate(zip(costs.generator, costs.discriminator, strict=True)):
        faded = schedule.fade_images if stage else 0
        shown = schedule.final_images if stage == last else schedule.stable_images
        stretches.append(Stretch(faded + shown, GENERATOR_PASSES * generator + critic * discriminator))
    encoding = CRITIC_PASSES * costs.encoder + GENERATOR_PASSES * costs.generator[last]
    if method.kappa:
        encoding += (1 + CRITIC_OF_GENERATOR) * costs.discriminator[last]
    stretches.append(Stretch(schedule.encoder_images, encoding))
    stretches.append(Stretch(schedule.discriminator_images, 2 * CRITIC_PASSES * costs.discriminator[last]))
    return Workload(tuple(stretches))


def _measure_stages(config: TrainConfig, device: torch.device) -> StageCosts:
    generator, discriminator = build_gan(config)
    encoder = build_encoder(config) if config.schedule.encoder_images else None
    for network in (generator, discriminator, encoder):
        if network is not None:
            network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    latents = torch.zeros(BATCH, config.network.latent_size, device=device)
    of_generator, of_discriminator = [], []
    for stage in range(generator.last_stage + 1):
        side = stage_resolution(stage, config.network.patch_size)
        tiles = torch.zeros(BATCH, config.preprocessing.channels, side, side, device=device)
        tiles = tiles.contiguous(memory_format=torch.channels_last)
        of_generator.append(_seconds(partial(generator, latents, stage)))
        of_discriminator.append(_seconds(partial(_logit, discriminator, tiles, stage)))
    return StageCosts(of_generator, of_discriminator, 0.0 if encoder is None else _seconds(partial(encoder, tiles)))


def _logit(discriminator: Discriminator, tiles: Tensor, stage: int) -> Tensor:
    return discriminator.forward(tiles, stage)[0]


def _seconds(run: Callable[[], Tensor]) -> float:
    """Seconds of an image, at best; the sum waits for a GPU."""
    times = []
    for _ in range(TRIALS):
        start = perf_counter()
        float(run().sum())
        times.append(perf_counter() - start)
    return min(times) / BATCH
