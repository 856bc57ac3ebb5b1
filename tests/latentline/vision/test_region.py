"""The region of interest: where it lies, and what is no region."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latentline.base.strict_yaml import StrictModel, parse
from latentline.errors import ConfigError, ImageError
from latentline.vision.preprocessing import Preprocessing
from latentline.vision.region import RegionOfInterest


class _File(StrictModel):
    preprocessing: Preprocessing


FRACTION, SIDE = st.floats(0, 1), st.integers(40, 400)


@settings(max_examples=30)
@given(FRACTION, FRACTION, FRACTION, FRACTION, SIDE, SIDE)
def test_the_box_lies_in_the_image(a: float, b: float, c: float, d: float, across: int, down: int) -> None:
    """In an image of any size, with each edge within half a pixel of its fraction; a mask is cut as its image is."""
    width, height = 0.3 + 0.7 * a, 0.3 + 0.7 * b
    region = RegionOfInterest(left=c * (1 - width), top=d * (1 - height), width=width, height=height)
    x, y, w, h = region.box((down, across, 3))
    assert 0 <= x < x + w <= across and 0 <= y < y + h <= down
    edges = (region.left * across, (region.left + region.width) * across, region.top * down)
    assert np.abs(np.subtract(edges, (x, x + w, y))).max() <= 0.5 + 1e-6
    image = np.arange(down * across).reshape(down, across)
    assert (region.cut(image) == image[y : y + h, x : x + w]).all()
    frame_width, frame_height = region.frame_size((w, h))
    found = region.box((frame_height, frame_width))[2:]
    assert found[0] >= w and found[1] >= h


@pytest.mark.parametrize(
    "region, sentence",
    [
        ({"left": -0.1}, "preprocessing.region.left': input should be greater than or equal to 0"),
        ({"width": 1.5}, "preprocessing.region.width': input should be less than or equal to 1"),
        ({"height": 0}, "preprocessing.region.height': input should be greater than 0"),
        ({"left": 0.7, "width": 0.5}, "left and width are 1.2 together, so the region leaves the image"),
        ({"top": 0.5, "height": 0.6}, "top and height are 1.1 together"),
        ({"right": 0.5}, "unknown key 'preprocessing.region.right'"),
    ],
)
def test_what_is_no_region_gets_a_sentence(region: dict[str, float], sentence: str) -> None:
    """One that leaves the image, has no area, or a key that there is not."""
    with pytest.raises(ConfigError) as caught:
        parse({"preprocessing": {"region": region}}, _File, "my.yaml")
    assert sentence in str(caught.value)


def test_edges_may_add_up_to_one_with_a_rounding_error() -> None:
    """Thirds and tenths are regions, too; and the region of a tiny picture is refused."""
    thirds = RegionOfInterest(left=2 / 3, width=1 / 3, top=0.9, height=0.1)
    assert thirds.box((100, 99)) == (66, 90, 33, 10)
    with pytest.raises(ImageError, match="of a frame of 99 x 60 px has 33 x 6 px, too few"):
        thirds.box((60, 99))


def test_without_a_region_nothing_is_written_of_it() -> None:
    """Manifests and checkpoints are byte for byte those from before there were regions; one with a region has it."""
    assert "region" not in Preprocessing().model_dump() and "region" not in Preprocessing().model_dump_json()
    with_region = Preprocessing(region=RegionOfInterest(left=0.25, width=0.5))
    assert Preprocessing.model_validate_json(with_region.model_dump_json()) == with_region
