"""Known defects on other normal tiles: a few defects then stand on many backgrounds.

What differs between a known-abnormal tile and a normal one is the defect, and much else: light, texture, the part. A
discriminator that sees few known-abnormal images learns those by heart; on a pasted tile only the defect is left.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from trainer.data.crops import CropSampler

MARGIN = 2  # px around the mask that go along; over as many the defect fades into the normal tile


class PastedSampler:
    """Draws with masks as the CropSampler `abnormal` does; each defect lies on a tile of `normal`.

    A tile of which nobody has said what is abnormal stays as it is.
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
