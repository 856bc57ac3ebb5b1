"""Pictures of a training: loss curves and a grid of samples."""

from __future__ import annotations

import io
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import torch
from matplotlib.figure import Figure

from latentline.atomic import write_bytes
from latentline.preprocessing import to_picture
from trainer.loop import StepReport, Training

GRID = 6
SHOWN_PX = 96


def save_curves(path: Path, reports: Sequence[StepReport]) -> None:
    """Losses and D's verdicts over the images seen; grey bands where a stage fades in."""
    figure = Figure(figsize=(9, 6), layout="constrained")
    losses, verdicts = figure.subplots(2, 1, sharex=True)
    images = [r.images for r in reports]
    losses.plot(images, [r.discriminator_loss for r in reports], label="discriminator")
    losses.plot(images, [r.generator_loss for r in reports], label="generator")
    losses.set_ylabel("loss")
    verdicts.plot(images, [r.d_real for r in reports], label="D(real)")
    verdicts.plot(images, [r.d_generated for r in reports], label="D(G(z))")
    if reports and reports[-1].d_abnormal is not None:
        verdicts.plot(images, [r.d_abnormal for r in reports], label="D(known abnormal)")
    verdicts.set_ylabel("D, probability of normal")
    verdicts.set_ylim(0, 1)
    verdicts.set_xlabel("images shown")
    for axes in (losses, verdicts):
        for before, after in pairwise(reports):
            if after.alpha < 1:
                axes.axvspan(before.images, after.images, color="0.9", lw=0)
        axes.legend(loc="upper right")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    write_bytes(path, buffer.getvalue())


def save_samples(path: Path, training: Training, seed: int) -> None:
    """A grid of images of the averaged generator, always from the same latents."""
    latents = torch.randn(GRID * GRID, training.average.latent_size, generator=torch.Generator().manual_seed(seed))
    growth = training.growth()
    with torch.no_grad():
        pictures = to_picture(training.average(latents, growth.stage, growth.alpha).numpy())
    rows = [np.hstack(list(pictures[r * GRID : (r + 1) * GRID])) for r in range(GRID)]
    scale = max(1, SHOWN_PX // growth.resolution)
    grid = np.repeat(np.repeat(np.vstack(rows), scale, axis=0), scale, axis=1)
    write_bytes(path, cv2.imencode(".png", grid)[1].tobytes())
