"""Known defects on normal tiles: the defect is kept, all else is the normal tile."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from latentline.errors import DatasetError
from tests.trainer.folder import tiny_config, write_folder
from trainer.config import TrainConfig
from trainer.data.crops import CropSampler
from trainer.data.pasting import MARGIN, PastedSampler
from trainer.methods import NoisyAnoGan
from trainer.run.training_data import load_training_data, mix_known_abnormal

SIZE = 32


def samplers(masked: bool = True) -> tuple[CropSampler, CropSampler]:
    """Known-abnormal images, white with a black square of 10 px, and normal ones of dark levels without black."""
    image, mask = np.full((64, 64, 1), 255, np.uint8), np.zeros((64, 64), np.bool_)
    image[30:40, 20:30], mask[30:40, 20:30] = 0, True
    normal = np.random.default_rng(0).integers(40, 120, (4, 64, 64, 1), dtype=np.uint8)
    return CropSampler([image], SIZE, masks=[mask if masked else None]), CropSampler(list(normal), SIZE)


def test_the_defect_is_kept_and_its_surroundings_are_left_behind() -> None:
    """Within the mask the tile is the defect; two margins away from it there is nothing of the known-abnormal image."""
    tiles, masks, known = PastedSampler(*samplers()).draw_with_masks(40, np.random.default_rng(1))
    assert known.all() and masks.flatten(1).any(1).all()
    inner = -F.max_pool2d(-masks.float(), 3, stride=1, padding=1) > 0
    assert (tiles[inner] == -1).all()
    side = 4 * MARGIN + 1
    outer = F.max_pool2d(masks.float(), side, stride=1, padding=side // 2) == 0
    assert (tiles[outer] < 120 / 127.5 - 1).all() and len(torch.unique(tiles[outer])) > 50


def test_a_tile_whose_defect_nobody_marked_stays_as_it_is() -> None:
    """Without a mask nothing can be moved."""
    abnormal, normal = samplers(masked=False)
    plain = abnormal.draw_with_masks(8, np.random.default_rng(2))[0]
    tiles, _, known = PastedSampler(abnormal, normal).draw_with_masks(8, np.random.default_rng(2))
    assert not known.any() and torch.equal(tiles, plain)


@pytest.mark.parametrize(
    ("synthetic", "pasted", "real"), [(0.0, 0.0, 24), (0.5, 0.5, 6), (0.25, 1.0, 0), (1.0, 0.5, 0)]
)
def test_shares_are_kept(synthetic: float, pasted: float, real: int) -> None:
    """Of 24 tiles this number is taken from the known-abnormal images unchanged."""
    abnormal, normal = samplers()
    method = NoisyAnoGan(synthetic_fraction=synthetic, pasted_fraction=pasted)
    tiles, masks, known = mix_known_abnormal(method, abnormal, normal).draw_with_masks(24, np.random.default_rng(3))
    white = (tiles == 1).flatten(1).float().mean(1) > 0.3
    assert len(tiles) == len(masks) == len(known) == 24 and int(white.sum()) == real


def test_fine_tuning_the_discriminator_needs_abnormal_images(tmp_path: Path) -> None:
    """A class of a single image leaves none to train: the error names discriminator_images, unless all are made."""
    root = write_folder(tmp_path, defects=1)
    content = tiny_config(root, discriminator_images=32)
    with pytest.raises(DatasetError, match=r"no known-abnormal image is left.*discriminator_images.*synthetic"):
        load_training_data(TrainConfig.model_validate(content))
    content["method"] = {"kind": "noisy_anogan", "synthetic_fraction": 0.5}
    data = load_training_data(TrainConfig.model_validate(content))
    assert data.abnormal is not None and data.abnormal.draw_with_masks(8, np.random.default_rng(0))[2].all()
