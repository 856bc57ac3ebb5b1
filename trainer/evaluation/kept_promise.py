"""Do normal test images keep the promise of the threshold, and what do its few held-out images cost: in words."""

from __future__ import annotations

import logging
import math

import numpy as np
import numpy.typing as npt

from latentline.scoring.binomial import beta_binomial
from latentline.scoring.thresholds import Promise, part_weights
from trainer.config import TrainConfig

SURE = 0.01  # the probability of as many alarms by chance, below which a promise is called broken
LARGEST_FRACTION = 0.5  # of the normal images, held out; a training needs the others
log = logging.getLogger(__name__)


def broken_promise(alarms: npt.NDArray[np.bool_], parts: npt.NDArray[np.str_], promise: Promise) -> str | None:
    """A sentence where normal test images are false alarms more often than the promise and chance explain; else None.

    alarms [n] of normal images, and the part [n] of each. Each part counts once, with the share of its images that are
    alarms, and the sum of the shares is rounded down. Of new parts that are like those behind the threshold it is at
    least that large with a known probability (beta-binomial, exact where each part is one image): below 1 % nobody
    believes in chance.
    """
    if not len(alarms):
        return None
    shares = part_weights(list(parts))
    count, seen = len(set(parts)), math.floor(shares @ alarms + 1e-9)
    above = max(1, math.floor((promise.counted + 1) * promise.rate + 1e-9))
    chance = float(beta_binomial(count, above, promise.counted + 1 - above)[seen:].sum())
    if chance >= SURE:
        return None
    why = f"{alarms.mean():.2f} observed, {promise.rate:g} promised: these images do not resemble the calibration's"
    if not promise.new_parts:
        more = promise.missing_parts
        return f"{why}, which show other parts; hold out normal images of at least {more} more part{'s'[: more > 1]}"
    return f"{why}; hold out normal images like them, and evaluate again"


def log_promise(promise: Promise, config: TrainConfig) -> None:
    """Log what the thresholds promise, and warn of what few held-out images cost, with the number that would help."""
    log.info("threshold: %s", promise.sentence)
    if cost := promise.cost:
        smooth = "" if promise.tail == "smooth" else "; --threshold smooth is less at the mercy of one image"
        log.warning("threshold: %s%s%s", cost, _advice(promise, config), smooth)


def _advice(promise: Promise, config: TrainConfig) -> str:
    """What to do for that number, with the setting where it can be reached."""
    fraction: float | None = getattr(config.data, "held_out_fraction", None)
    if fraction is None:
        return ""
    wanted = math.ceil(100 * fraction * promise.helpful / promise.counted) / 100
    if wanted > LARGEST_FRACTION:
        return " (add normal images: to hold out more of these leaves too few to train)"
    return f" (data.held_out_fraction: {wanted:g} instead of {fraction:g} holds out so many; then train again)"
