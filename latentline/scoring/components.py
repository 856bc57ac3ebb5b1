"""Raw score components of tiles and frames."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from latentline.scoring.maps import PixelStatistics
from latentline.search.searched_frame import SearchedFrame
from latentline.search.searcher import TileScores

Float = npt.NDArray[np.float32]
LOOK = "d_look"  # D's worst verdict at a first look
OF_RECONSTRUCTION = frozenset({"d_reconstruction", "loss"})  # components that need D's verdict on G(ẑ)


def tile_components(result: TileScores) -> dict[str, Float]:
    """Raw components of each tile, [N], as far as the method has them. Larger is more abnormal.

    feature           log Σ|f(x) − f(G(ẑ))|
    d_reconstruction  −logit of D(G(ẑ))
    d_frame           −logit of D(x), the verdict; logits do not saturate as D does
    loss              L'(ẑ), the paper's score
    kl                log KL(q(z|x) ‖ N(0, 1))
    """
    values = {
        "feature": _log(result.feature_residual),
        "d_reconstruction": _negative(result.logit_reconstruction),
        "d_frame": _negative(result.logit_frame),
        "loss": result.loss,
        "kl": _log(result.kl),
    }
    return {name: value for name, value in values.items() if value is not None}


def frame_components(searched: SearchedFrame, maps: Float, statistics: PixelStatistics) -> dict[str, float]:
    """Raw components of a frame: the largest over its tiles, the peak of each of its `maps`, LOOK of a first look."""
    worst = {name: float(tiles.max()) for name, tiles in tile_components(searched.result).items()}
    look = {} if searched.look is None else {LOOK: look_component(searched.look.logit)}
    return {**worst, **look, **statistics.peaks(maps)}


def look_component(logit: Float) -> float:
    """The raw component LOOK of a frame: minus the least logit of the windows [rows, columns] of its first look."""
    return -float(logit.min())


def _log(values: Float | None) -> Float | None:
    return None if values is None else np.log(values + np.float32(1e-6))


def _negative(values: Float | None) -> Float | None:
    return None if values is None else -values
