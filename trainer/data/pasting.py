"""Known defects pasted on normal tiles: a few defects then appear on many backgrounds.

A known-abnormal tile differs from a normal one in its defect, and also in light, texture and part. A discriminator that
is shown few known-abnormal images memorises all of that; a pasted tile differs in the defect alone.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from trainer.data.crops import CropSampler

MARGIN = 2  # px around the mask that are pasted, too; over as many the defect fades into the normal tile


class PastedSampler:
    """Draws tiles of `abnormal` with their masks, each defect pasted on a tile of `normal`.

    A tile whose mask is not known stays as it is.
    """

    def __init__(self, abnormal: CropSampler, normal: CropSampler) -> None:
        self._abnormal, self._normal = abnormal, normal

    def draw_with_masks(self, count: int, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Tiles float32 [count, C, size, size] in [-1, 1], masks bool [count, 1, size, size], known bool [count]."""
        tiles, masks, known = self._abnormal.draw_with_masks(count, rng)
        normal = self._normal.draw(count, rng)
        side = 2 * MARGIN + 1
        wide = F.max_pool2d(masks.to(tiles.dtype), side, stride=1, padding=MARGIN)
        soft = F.avg_pool2d(wide, side, stride=1, padding=MARGIN, count_include_pad=False)
        pasted = torch.lerp(normal, tiles, soft)
        return torch.where(known.view(-1, 1, 1, 1), pasted, tiles), masks, known
