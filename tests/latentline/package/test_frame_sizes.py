"""Which frames are like the images that a threshold rests on."""

from dataclasses import replace

import pytest

from latentline.package.frame_sizes import MOST_SIZES, is_like, sizes_of
from latentline.package.identity import ModelIdentity
from latentline.vision.region import RegionOfInterest

MODEL = ModelIdentity("strips", "ab" * 32, "none", 1.0, 3.0, 1, 64, frame_sizes=((2000, 500),), scaled=True)


@pytest.mark.parametrize(
    "size,scaled,alike",
    [
        ((2000, 500), False, True),
        ((2100, 500), False, True),  # within a tenth
        ((4000, 1000), True, True),  # the same picture of a camera with more pixels
        ((4000, 1000), False, False),
        ((500, 2000), True, False),  # turned
        ((1600, 1200), True, False),
    ],
)
def test_another_shape_or_scale_is_not_alike(size: tuple[int, int], scaled: bool, alike: bool) -> None:
    """Where frames are scaled to one height their aspect counts, else their height too."""
    assert is_like(size, [(2000, 500)], scaled) == alike


def test_every_size_that_calibrated_is_alike_however_many_there_were() -> None:
    """Of many sizes the manifest keeps a few, between which all others lie."""
    shapes = [(300 + 7 * i, 200 + 11 * (i * 13 % 40), 3) for i in range(40)]
    kept = sizes_of(shapes)
    assert len(kept) <= MOST_SIZES and all(is_like((w, h), kept, False) for h, w, _ in shapes)
    assert sizes_of(shapes[:1] * 30) == ((200, 300),)


def test_a_frame_that_is_not_alike_is_one_sentence() -> None:
    """It has both sizes, those of the region where there is one; a package without sizes is like everything."""
    said = MODEL.unlike((1200, 1600, 3))
    assert said is not None and "frames of 1600 x 1200 px" in said and "images of 2000 x 500 px" in said
    assert MODEL.unlike((500, 2000, 1)) is None and replace(MODEL, frame_sizes=None).unlike((1200, 1600, 3)) is None
    upper = replace(MODEL, region=RegionOfInterest(height=0.5))
    said = upper.unlike((500, 2000, 1))
    assert upper.unlike((1000, 2000, 1)) is None and said is not None and "region has 2000 x 250 px" in said
