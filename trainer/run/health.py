"""Whether a training has collapsed, said in sentences: it goes on, but somebody should look."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

import numpy as np
import numpy.typing as npt

from trainer.loops.training import StepReport

# Samples of a generator that learnt vary as real tiles do (1); a generator that makes one image for every z gives 0.
# In 82 checkpoints of runs that went well (MNIST, magnetic tiles) it lay between .35 and 1.40; a tenth is far below.
DIVERSITY_LEAST = 0.1
# |logit| > 4.6 on both sides: D no longer errs on one image in a hundred, and G loses without learning from it
CERTAIN = 0.99
# A reconstruction whose contrast is a twentieth of its tile's is flat to the eye: the plateau of the SSIM loss
CONTRAST_LEAST = 0.05
WINDOW = 20  # reports that must agree: one bad moment is no collapse


def measure_diversity(samples: npt.NDArray[np.float32], real: npt.NDArray[np.float32]) -> float:
    """Standard deviation of a pixel across samples over that across real tiles, each a root mean square over pixels.

    samples, real [N, C, r, r].
    """
    spread = [float(np.sqrt(images.var(axis=0).mean())) for images in (samples, real)]
    return spread[0] / max(spread[1], 1e-6)


def faults(reports: Sequence[StepReport], measured: float | None) -> tuple[str, ...]:
    """Sentences about the last reports and the last diversity; none while all is well."""
    found = []
    if measured is not None and measured < DIVERSITY_LEAST and reports and reports[-1].stage > 0:
        found.append(f"mode collapse: the samples vary {measured:.2f} times as much as real tiles")
    last = reports[-WINDOW:]
    if len(last) == WINDOW:
        found += [sentence for sentence in (_saturated(last), _flat(last)) if sentence]
    return tuple(found)


def _saturated(last: Sequence[StepReport]) -> str | None:
    if not all({"real", "generated"} <= set(r.verdicts) and "generator" in r.losses for r in last):
        return None
    real, generated = (fmean(r.verdicts[name] for r in last) for name in ("real", "generated"))
    half = len(last) // 2
    before, after = (fmean(r.losses["generator"] for r in part) for part in (last[:half], last[half:]))
    if real > CERTAIN and generated < 1 - CERTAIN and after >= before:
        return f"the discriminator is certain: D(real) {real:.3f}, D(G(z)) {generated:.3f}, and G does not catch up"
    return None


def _flat(last: Sequence[StepReport]) -> str | None:
    if not all("contrast" in r.losses for r in last):
        return None
    contrast = fmean(r.losses["contrast"] for r in last)
    if contrast < CONTRAST_LEAST:
        return f"flat reconstructions: their contrast is {contrast:.3f} of the tiles'"
    return None
