"""Defects that no training is shown change every tile, inside their mask alone."""

import numpy as np
import pytest

from trainer.data.unseen import MIN_CHANGE, synthesise_unseen


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [8, 32, 64])
@pytest.mark.parametrize("level", [0, 128, 255, None])
def test_every_tile_changes_visibly_inside_its_mask_alone(size: int, channels: int, level: int | None) -> None:
    """Also a flat one, and one at an end of the grey scale; the same seed gives the same, and no original changes."""
    tiles = np.random.default_rng(0).integers(40, 200, (12, size, size, channels), dtype=np.uint8)
    if level is not None:
        tiles[:] = level
    before = tiles.copy()
    made, masks = synthesise_unseen(tiles, np.random.default_rng(1))
    assert made.shape == tiles.shape and made.dtype == np.uint8 and masks.shape == tiles.shape[:3]
    difference = np.abs(made.astype(int) - tiles).max(axis=3)
    assert (difference[masks] >= MIN_CHANGE).all() and not difference[~masks].any()
    assert masks.any(axis=(1, 2)).all() and not masks.all(axis=(1, 2)).any()
    np.testing.assert_array_equal(made, synthesise_unseen(tiles, np.random.default_rng(1))[0])
    np.testing.assert_array_equal(tiles, before)
