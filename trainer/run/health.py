"""Signs of a failed training, one sentence each: the training continues, but somebody should look at it."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

import numpy as np
import numpy.typing as npt

from trainer.loops.training import StepReport
from trainer.methods import AnoVaeGan, Autoencoder, GanMethod, Method, Vae
from trainer.run.history import FitCoverage

# 1 where samples vary as much as real tiles, 0 where the generator makes the same image from every z.
# 82 checkpoints of good runs (MNIST, magnetic tile) had 0.35 … 1.40.
MIN_DIVERSITY = 0.1
# |logit| > 4.6 for real and for generated images: D is saturated, and G learns nothing from it
SATURATED = 0.99
# A reconstruction with a twentieth of its tile's contrast looks flat: the plateau of the SSIM loss
MIN_CONTRAST = 0.05
# Where neither G nor principal components explain a tenth of the variance, normal tiles have nothing in common
MIN_STRUCTURE = 0.1
# Of G below principal components. The difference between both depends on which 400 held-out tiles are drawn, with a
# standard deviation of 0.006 (an autoencoder on fabric, ten seeds; 0.019 with 71 tiles): three of these are no chance.
COVERAGE_TOLERANCE = 0.02
WINDOW = 20  # reports: a warning is about their mean, not about one bad step


def measure_diversity(samples: npt.NDArray[np.float32], real: npt.NDArray[np.float32]) -> float:
    """Standard deviation of a pixel across samples, over that across real tiles; each a root mean square over pixels.

    samples, real [N, C, r, r]
    """
    spread = [float(np.sqrt(images.var(axis=0).mean())) for images in (samples, real)]
    return spread[0] / max(spread[1], 1e-6)


def health_warnings(reports: Sequence[StepReport], diversity: float | None) -> tuple[str, ...]:
    """Warnings from the last reports and the last measured diversity; empty when nothing looks wrong."""
    found = []
    if diversity is not None and diversity < MIN_DIVERSITY and reports and reports[-1].stage > 0:
        found.append(f"mode collapse: the samples vary {diversity:.2f} times as much as real tiles")
    last = reports[-WINDOW:]
    if len(last) == WINDOW:
        found += [sentence for sentence in (_saturation(last), _flatness(last)) if sentence]
    return tuple(found)


def coverage_warning(coverage: FitCoverage | None, method: Method) -> str | None:
    """A sentence where G explains less than principal components do, once half of its training is over; else None."""
    if coverage is None or coverage.progress < 0.5:
        return None
    if max(coverage.explained, coverage.pca) < MIN_STRUCTURE:
        return (
            f"no common structure: of the variance of held-out normal tiles the generator explains "
            f"{coverage.explained:.2f} and {coverage.components} principal components {coverage.pca:.2f}; see whether "
            "these images look like those for training, align or normalise them (preprocessing), use more images, or "
            "enlarge network.latent_size"
        )
    if coverage.explained >= coverage.pca - COVERAGE_TOLERANCE:
        return None
    return (
        f"low coverage: the generator explains {coverage.explained:.2f} of the variance of held-out normal tiles, "
        f"{coverage.components} principal components explain {coverage.pca:.2f}, and what is normal but cannot be made "
        f"looks like a defect; {_advice(method)}"
    )


def _advice(method: Method) -> str:
    if isinstance(method, GanMethod):
        finetune = "" if method.finetune_generator else "set method.finetune_generator, "
        return (
            f"{finetune}train the encoder longer (schedule.encoder_images), raise schedule.encoder_learning_rate, "
            "enlarge network.latent_size, or use method pca"
        )
    advice = "train longer (schedule.final_images), raise schedule.learning_rate, or enlarge network.latent_size"
    if isinstance(method, Vae | AnoVaeGan):
        return f"lower method.kl_weight, {advice}"
    return f"set method.loss to l2, {advice}" if isinstance(method, Autoencoder) and method.loss != "l2" else advice


def _saturation(last: Sequence[StepReport]) -> str | None:
    if not all({"real", "generated"} <= set(r.probabilities) and "generator" in r.losses for r in last):
        return None
    real, generated = (fmean(r.probabilities[name] for r in last) for name in ("real", "generated"))
    half = len(last) // 2
    before, after = (fmean(r.losses["generator"] for r in part) for part in (last[:half], last[half:]))
    if real > SATURATED and generated < 1 - SATURATED and after >= before:
        return f"the discriminator is saturated: D(real) {real:.3f}, D(G(z)) {generated:.3f}, and G does not catch up"
    return None


def _flatness(last: Sequence[StepReport]) -> str | None:
    if not all("contrast" in r.losses for r in last):
        return None
    contrast = fmean(r.losses["contrast"] for r in last)
    if contrast < MIN_CONTRAST:
        return f"flat reconstructions: they have {contrast:.3f} times the contrast of their tiles"
    return None
