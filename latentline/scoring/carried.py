"""What components tell of made defects, where a discriminator was trained on some kinds of them.

Maps and a trunk are judged by all kinds, because no defect has shaped them. A discriminator finds the kinds that it was
shown, and on some products hardly any other. So the others alone judge it; and where it loses more from shown kinds to
others than maps and trunk do, it has learnt by heart, and is trusted by as much less.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float64]

TRAINED = ("d", "feature")  # families that come from a discriminator


def told_of_made(families: Sequence[str], told: Float, shown: Float) -> Float:
    """What each component tells of made defects [K].

    told   [K] of kinds that no training is shown
    shown  [K] of kinds that the discriminator was shown
    """
    trained = np.isin(families, TRAINED)
    return np.where(trained, told * _trust(trained, told, shown), (told + shown) / 2)


def _trust(trained: npt.NDArray[np.bool_], told: Float, shown: Float) -> Float:
    """What a component keeps from shown kinds to others, of what the best untrained ones keep, [K] in 0 … 1."""
    trust = np.ones(len(told))
    hard, easy = (float(some[~trained].max(initial=0)) for some in (told, shown))
    kept, usual = told * easy, shown * hard
    less = kept < usual
    if hard and easy:  # else there is nothing to compare with
        trust[less] = kept[less] / usual[less]
    return trust
