"""Tiles: everywhere alike, about the defect where it is known, changed only as the configuration allows."""

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trainer.data.crops import CropSampler, prepare_mask
from trainer.data.settings import AugmentConfig, Flip


def numbered(height: int, width: int, channels: int = 1) -> np.ndarray:
    """An image of levels 100 … 199, row by row, alike in all channels: under 100 px, a level tells the place."""
    levels = np.arange(height * width).reshape(height, width, 1) % 100 + 100
    return np.repeat(levels, channels, axis=2).astype(np.uint8)


def test_crops_of_known_abnormal_images_show_the_defect() -> None:
    """With a mask every drawn tile overlaps it, also at the image's border and in an image smaller than a tile."""
    image = np.zeros((100, 40, 1), np.uint8)
    mask = np.zeros((100, 40), np.bool_)
    image[97:, 37:], mask[97:, 37:] = 255, True
    tiles = CropSampler([image], 64, masks=[mask]).draw(50, np.random.default_rng(0))
    assert tiles.shape == (50, 1, 64, 64)
    assert (tiles.flatten(1).max(1).values == 1).all()


def test_a_small_defect_survives_scaling_down() -> None:
    """A one-pixel mask still marks a pixel when the image shrinks."""
    mask = np.zeros((300, 300), np.bool_)
    mask[200, 100] = True
    scaled = prepare_mask(mask, np.zeros((64, 64, 1), np.uint8))
    assert scaled.any() and scaled[40:46, 19:24].any()


@given(
    seed=st.integers(0, 99),
    channels=st.sampled_from([1, 3]),
    flip=st.sampled_from([(), ("horizontal",), ("vertical",), ("horizontal", "vertical")]),
    shift=st.integers(0, 20),
    brightness=st.sampled_from([0.0, 0.3]),
)
def test_masks_lie_where_the_tiles_say(
    seed: int, channels: int, flip: tuple[Flip, ...], shift: int, brightness: float
) -> None:
    """However a tile is cut, mirrored, shifted and lit, its mask marks the same pixels; without one none is known."""
    rng = np.random.default_rng(seed)
    images, masks = [], []
    for height, width in ((30, 50), (70, 20), (40, 40), (33, 64)):
        mask = rng.random((height, width)) < 0.1
        images.append(np.repeat(np.where(mask, 200, 40)[..., None], channels, axis=2).astype(np.uint8))
        masks.append(mask)
    masks[2], images[2] = None, np.full_like(images[2], 10)  # type: ignore[call-overload]
    masks[3], images[3] = np.zeros_like(masks[3]), np.full_like(images[3], 10)
    augment = AugmentConfig(flip=flip, shift=shift, brightness=brightness)
    sampler = CropSampler(images, 32, augment, masks)
    tiles, marks, known = sampler.draw_with_masks(24, np.random.default_rng(seed))
    assert tiles.shape == (24, channels, 32, 32) and marks.shape == (24, 1, 32, 32) and known.shape == (24,)
    assert tiles.dtype == torch.float32 and marks.dtype == known.dtype == torch.bool
    bright = (tiles + 1) * 127.5 > 100
    assert torch.equal(bright, marks.expand_as(bright))
    assert torch.equal(known, tiles.flatten(1).max(1).values > -0.7)
    assert torch.equal(tiles, sampler.draw(24, np.random.default_rng(seed)))


def test_normal_tiles_come_from_everywhere_alike() -> None:
    """Each place of images of any size is drawn equally often: chi-square over all places, at 0.1 %."""
    images = [numbered(8, 11), numbered(10, 6) - 100]
    sampler = CropSampler(images, 6)
    rng = np.random.default_rng(0)
    tiles = sampler.tiles(20_000, rng)
    large = tiles[:, 0, 0, 0] >= 100
    # an image is drawn by its area
    assert abs(large.mean() - 88 / 148) < 4 * np.sqrt(88 * 60 / 148**2 / 20_000)
    counts = np.array(list(Counter(tiles[large, 0, 0, 0].tolist()).values()))
    assert len(counts) == 3 * 6
    expected = counts.mean()
    assert ((counts - expected) ** 2 / expected).sum() < 40.8  # 17 degrees of freedom


@pytest.mark.parametrize(("flip", "variants"), [((), 1), (("horizontal",), 2), (("horizontal", "vertical"), 4)])
def test_only_the_mirrorings_asked_for_appear(flip: tuple[Flip, ...], variants: int) -> None:
    """A tile as large as the image comes in exactly those orientations, about equally often."""
    image = numbered(32, 32)
    tiles = CropSampler([image], 32, AugmentConfig(flip=flip)).tiles(400, np.random.default_rng(1))
    seen = Counter(tile.tobytes() for tile in tiles)
    allowed = [image, image[:, ::-1], image[::-1], image[::-1, ::-1]][: 4 if variants == 4 else variants]
    assert set(seen) == {tile.tobytes() for tile in allowed}
    assert min(seen.values()) > 400 / variants / 2


def test_a_shifted_tile_shows_the_image_and_its_mirrored_edge() -> None:
    """Shifts reach the given px to each side and no further; beyond the edge lies NumPy's reflection."""
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    beyond = np.pad(image, ((3, 3), (3, 3), (0, 0)), mode="reflect")
    allowed = {beyond[y : y + 32, x : x + 32].tobytes() for y in range(7) for x in range(7)}
    tiles = CropSampler([image], 32, AugmentConfig(shift=3)).tiles(600, np.random.default_rng(0))
    assert {tile.tobytes() for tile in tiles} == allowed


def test_brightness_multiplies_grey_levels() -> None:
    """One factor a tile, all over the range asked for, rounded, and clipped at white."""
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    tiles = CropSampler([image], 32, AugmentConfig(brightness=0.4)).tiles(200, np.random.default_rng(0))
    factors = []
    for tile in tiles:
        # every grey level leaves an interval of factors that round to what the tile shows; all must meet
        lit = image > 0
        least = ((tile[lit] - 0.5) / image[lit]).max()
        most = ((tile[lit & (tile < 255)] + 0.5) / image[lit & (tile < 255)]).min()
        assert least <= most and not tile[~lit].any()
        factors.append((least + most) / 2)
    assert 0.599 < min(factors) < 0.65 and 1.35 < max(factors) < 1.401
    assert np.array_equal(CropSampler([image], 32).tiles(1, np.random.default_rng(0))[0], image)


def test_tiles_depend_on_the_random_state_alone() -> None:
    """A generator put back to a saved state gives the same tiles again: what an exact resume rests on."""
    augment = AugmentConfig(flip=("horizontal",), shift=2, brightness=0.1)
    mask = np.zeros((40, 50), np.bool_)
    mask[3, 4] = True
    images = [numbered(40, 50), numbered(60, 35)]
    rng = np.random.default_rng(0)
    sampler = CropSampler(images, 32, augment, [mask, None])
    sampler.draw(7, rng)
    state = rng.bit_generator.state
    first = [sampler.draw(5, rng), *sampler.draw_with_masks(5, rng)]
    again = np.random.default_rng(9)
    again.bit_generator.state = state
    fresh = CropSampler(images, 32, augment, [mask, None])
    second = [fresh.draw(5, again), *fresh.draw_with_masks(5, again)]
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
