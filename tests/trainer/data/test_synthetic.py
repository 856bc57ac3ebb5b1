"""Synthetic abnormal tiles: changed inside their mask, and only there."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trainer.data import synthetic
from trainer.data.crops import CropSampler
from trainer.data.perlin import perlin
from trainer.data.synthetic import SyntheticSampler, synthesise


def textures(count: int, size: int, channels: int, seed: int = 0) -> np.ndarray:
    """Waves with noise, of any phase."""
    rng = np.random.default_rng(seed)
    x = np.arange(size)
    waves = 50 * np.sin(x / 3 + rng.uniform(0, 6, (count, 1, 1))) * np.cos(x[:, None] / 5)
    noisy = 120 + waves[..., None] + rng.normal(0, 6, (count, size, size, channels))
    return np.clip(noisy, 0, 255).astype(np.uint8)


@given(
    seed=st.integers(0, 10_000),
    size=st.sampled_from([32, 64, 128]),
    channels=st.sampled_from([1, 3]),
    kind=st.sampled_from(["texture", "noise", "black", "white", "grey", "steps"]),
)
def test_every_tile_changes_inside_its_mask_and_nowhere_else(seed: int, size: int, channels: int, kind: str) -> None:
    """Also tiles that are flat, black or white: somewhere by 8 grey levels, outside the mask by none."""
    shape = (4, size, size, channels)
    tiles_of: dict[str, Callable[[], np.ndarray]] = {
        "texture": lambda: textures(4, size, channels, seed),
        "noise": lambda: np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8),
        "steps": lambda: np.where(np.arange(size)[:, None] % 2, np.uint8(0), np.uint8(255)) * np.ones(shape, np.uint8),
        "black": lambda: np.zeros(shape, np.uint8),
        "white": lambda: np.full(shape, 255, np.uint8),
        "grey": lambda: np.full(shape, 128, np.uint8),
    }
    tiles = tiles_of[kind]()
    given_tiles = tiles.copy()
    made, masks = synthesise(tiles, np.random.default_rng(seed))
    assert np.array_equal(tiles, given_tiles), "the normal tiles stay as they are"
    assert made.shape == shape and made.dtype == np.uint8 and masks.shape == shape[:3] and masks.dtype == np.bool_
    difference = np.abs(made.astype(int) - tiles).max(axis=3)
    assert not difference[~masks].any()
    assert (np.where(masks, difference, 0).max(axis=(1, 2)) >= 8).all()


@pytest.mark.parametrize("kind", ["_patch", "_scar", "_texture", "_smoothing", "_shading"])
def test_every_kind_shows_on_a_texture(kind: str) -> None:
    """No kind is so weak that it would be drawn again and again, nor so large that little of the tile stays normal."""
    tiles = textures(40, 64, 1)
    rng = np.random.default_rng(0)
    made = [getattr(synthetic, kind)(tile, tiles[i - 1], rng) for i, tile in enumerate(tiles)]
    largest = [
        np.abs(np.clip(content, 0, 255) - tile)[mask].max(initial=0)
        for (content, mask), tile in zip(made, tiles, strict=True)
    ]
    assert np.mean(np.array(largest) >= 8) > 0.85
    areas = np.array([mask.mean() for _, mask in made])
    assert 0.005 < np.median(areas) < 0.35 and areas.max() < 0.8


def test_shading_is_of_low_frequency_and_smoothing_loses_detail() -> None:
    """A shaded blob's change is itself smooth; a smoothed one has less local variation than before."""
    tiles = textures(30, 64, 1)
    rng = np.random.default_rng(0)
    for tile in tiles:
        content, mask = synthetic._shading(tile, tile, rng)
        change = content - tile
        assert max(np.abs(np.diff(change, axis=axis)).max() for axis in (0, 1)) < 0.3 * np.abs(change).max()
        content, mask = synthetic._smoothing(tile, tile, rng)
        inside = mask[1:] & mask[:-1]
        assert (
            np.abs(np.diff(content[..., 0], axis=0)[inside]).mean()
            < np.abs(np.diff(tile[..., 0].astype(float), axis=0)[inside]).mean()
        )


def test_a_sampler_of_made_tiles_repeats_exactly() -> None:
    """The same random state gives the same tiles and masks, all known, in the form of a CropSampler's."""
    normal = CropSampler(list(textures(5, 80, 3)), 64)
    sampler = SyntheticSampler(normal)
    tiles, masks, known = sampler.draw_with_masks(12, np.random.default_rng(4))
    assert tiles.shape == (12, 3, 64, 64) and tiles.dtype == torch.float32 and tiles.abs().max() <= 1
    assert masks.shape == (12, 1, 64, 64) and masks.dtype == torch.bool and known.all()
    assert torch.equal(tiles, sampler.draw_with_masks(12, np.random.default_rng(4))[0])
    untouched = normal.draw(12, np.random.default_rng(4))
    changed = (tiles != untouched).any(dim=1, keepdim=True)
    assert changed.flatten(1).any(1).all() and not (changed & ~masks).any()


@given(st.integers(0, 999), st.sampled_from([(1, 1), (2, 5), (8, 3), (16, 16)]))
def test_perlin_noise_is_what_its_definition_says(seed: int, cells: tuple[int, int]) -> None:
    """Against the definition, pixel by pixel in float64: corner slopes times offsets, blended by 6t⁵ − 15t⁴ + 10t³."""
    size = 32
    noise = perlin(size, cells, np.random.default_rng(seed))
    angles = np.random.default_rng(seed).uniform(0, 2 * np.pi, (cells[0] + 1, cells[1] + 1))

    def fade(t: float) -> float:
        return 6 * t**5 - 15 * t**4 + 10 * t**3

    def mix(a: float, b: float, t: float) -> float:
        return a + fade(t) * (b - a)

    for row, column in np.random.default_rng(seed).integers(0, size, (20, 2)):
        y, x = row * cells[0] / size, column * cells[1] / size
        top, left = int(y), int(x)
        corner = {
            (i, j): np.sin(angles[top + i, left + j]) * (y - top - i)
            + np.cos(angles[top + i, left + j]) * (x - left - j)
            for i in (0, 1)
            for j in (0, 1)
        }
        rows = [mix(corner[i, 0], corner[i, 1], x - left) for i in (0, 1)]
        assert noise[row, column] == pytest.approx(mix(rows[0], rows[1], y - top), abs=1e-5)
    assert noise.shape == (size, size) and np.abs(noise).max() <= np.sqrt(0.5) + 1e-6
