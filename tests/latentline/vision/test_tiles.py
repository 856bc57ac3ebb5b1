"""Tiles cover a frame, overlap as configured, and blend back into the frame."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from latentline.vision.tiles import TilePlan, pad_to

sides = st.integers(1, 200)


@given(sides, sides, st.sampled_from([32, 64]), st.floats(0, 0.8), st.sampled_from([1, 3]))
def test_blending_tiles_gives_the_frame(h: int, w: int, size: int, overlap: float, channels: int) -> None:
    """Tiles cover every pixel, and unchanged tiles blend into the frame itself."""
    image = np.random.default_rng(0).integers(0, 256, (h, w, channels), dtype=np.uint8)
    plan = TilePlan.cover(h, w, size, overlap)
    tiles = plan.cut(image)
    assert tiles.shape == (len(plan.corners), size, size, channels) and tiles.flags.c_contiguous
    np.testing.assert_allclose(plan.blend(tiles.astype(np.float32))[:h, :w], image, rtol=1e-5, atol=1e-3)


@given(sides, sides, st.sampled_from([32, 64]), st.floats(0, 0.8))
def test_neighbours_overlap_by_at_least_the_given_fraction(h: int, w: int, size: int, overlap: float) -> None:
    """No step between tiles exceeds size · (1 − overlap), rounded up to whole pixels."""
    plan = TilePlan.cover(h, w, size, overlap)
    for axis in (0, 1):
        starts = np.unique([corner[axis] for corner in plan.corners])
        assert starts[0] == 0 and starts[-1] + size == (plan.height, plan.width)[axis]
        assert len(starts) == 1 or np.diff(starts).max() <= np.ceil(size * (1 - overlap))


def test_a_small_frame_is_mirrored_not_squashed() -> None:
    """Padding continues the frame mirrored, however small it is, and does not move it."""
    image = np.arange(6, dtype=np.uint8).reshape(2, 3, 1)
    padded = pad_to(image, 8, 8)
    assert padded.shape == (8, 8, 1)
    np.testing.assert_array_equal(padded[:2, :6, 0], [[0, 1, 2, 2, 1, 0], [3, 4, 5, 5, 4, 3]])
