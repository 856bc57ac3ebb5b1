"""How far to trust a discriminator on defects of kinds that it was not shown.

Trained on made defects, it finds their kinds, and on some products hardly any other. Where what it tells falls, from
shown kinds to others, by more than what the maps and a trunk tell, the difference is learnt by heart.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float64]

TRAINED = ("d", "feature")  # families that come from a discriminator


def carried_over(families: Sequence[str], told: Float, shown: Float) -> Float:
    """By how much to trust each component [K], 0 … 1: those of a discriminator may be below 1.

    told   [K] what each tells of made defects of kinds that no training is shown
    shown  [K] the same of kinds that training is shown
    """
    trust, trained = np.ones(len(told)), np.isin(families, TRAINED)
    hard, easy = (float(some[~trained].max(initial=0)) for some in (told, shown))
    if hard and easy:
        judged = trained & (shown > 0)
        trust[judged] = np.minimum(1, told[judged] / shown[judged] / (hard / easy))
    return trust
