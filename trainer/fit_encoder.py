"""Train an encoder on the finished, frozen generator: where the search starts instead of at a random latent."""

from __future__ import annotations

import copy

import numpy as np
import torch
from tqdm import tqdm

from trainer.checkpoint import build_encoder
from trainer.config import TrainConfig
from trainer.data.crops import CropSampler
from trainer.losses.encoder import izi_f_loss
from trainer.networks.discriminator import Discriminator
from trainer.networks.encoder import Encoder
from trainer.networks.generator import Generator
from trainer.search import freeze


def fit_encoder(
    config: TrainConfig, generator: Generator, discriminator: Discriminator, normal: CropSampler
) -> Encoder:
    """Show `encoder_images` normal tiles, half of them generated (they fill the gaps between few real images)."""
    schedule = config.schedule
    frozen = [
        copy.deepcopy(network).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        for network in freeze(generator, discriminator)
    ]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(schedule.seed)
        encoder = build_encoder(config.network, config.preprocessing.channels)
    encoder = encoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.Adam(encoder.parameters(), schedule.encoder_learning_rate, betas=(0.9, 0.99))
    crops = np.random.default_rng(schedule.seed + 1)
    latents = torch.Generator().manual_seed(schedule.seed + 1)
    half = max(1, schedule.batch // 2)
    with tqdm(total=schedule.encoder_images, unit="img", desc="encoder") as bar:
        while bar.n < schedule.encoder_images:
            left = 1 - bar.n / schedule.encoder_images
            optimizer.param_groups[0]["lr"] = schedule.encoder_learning_rate * min(1.0, 2 * left + 0.02)
            with torch.no_grad():
                z = torch.randn(half, config.network.latent_size, generator=latents)
                x = torch.cat([normal.draw(half, crops), frozen[0](z)])
                x = x.contiguous(memory_format=torch.channels_last)
                fx = frozen[1](x)[1]
            reconstruction = frozen[0](encoder(x))
            loss = izi_f_loss(x, reconstruction, fx, frozen[1](reconstruction)[1])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            bar.update(len(x))
            if bar.n % (20 * len(x)) == 0:
                bar.set_postfix_str(f"loss {float(loss.detach()):.4f}")
    trained: Encoder = encoder.eval()
    return trained
