"""A model with a region of interest finds in a frame what it finds in the region alone, in pixels of the frame."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latentline.errors import ImageError
from latentline.inspection.host_reconstructor import HostReconstructor
from latentline.inspection.inspector import Inspector
from latentline.inspection.panels import draw_panel
from latentline.scoring.calibrate import Calibrated, calibrate
from latentline.search.tiler import FrameTiler
from latentline.vision.preprocessing import Preprocessing
from latentline.vision.region import RegionOfInterest
from tests.latentline.inspection.test_inspector import MeanSearcher, frames

REGION = RegionOfInterest(left=0.2, top=0.35, width=0.5, height=0.5)


@pytest.fixture(scope="module")
def calibrated() -> dict[int | None, Calibrated]:
    """By `preprocessing.height`."""
    normals = frames(40)
    return {h: calibrate(MeanSearcher(), _tiler(h), normals[:20], normals[20:], 0.05) for h in (None, 56)}


def _tiler(height: int | None) -> FrameTiler:
    return FrameTiler(Preprocessing(height=height), 32, 0.25)


def _inspector(calibrated: Calibrated, height: int | None, region: RegionOfInterest | None) -> Inspector:
    reconstructor = HostReconstructor(MeanSearcher(), _tiler(height), calibrated.statistics, ahead=2)
    return Inspector(reconstructor, calibrated.calibration, region=region)


@settings(max_examples=8)
@given(
    st.integers(100, 160),
    st.integers(100, 160),
    st.sampled_from([(), (1,), (3,)]),
    st.sampled_from([None, 56]),
    st.integers(0, 3),
    st.integers(0, 2**32),
)
def test_a_frame_has_the_result_of_its_region(
    calibrated: dict[int | None, Calibrated],
    height: int,
    width: int,
    channels: tuple[int, ...],
    scaled: int | None,
    spots: int,
    seed: int,
) -> None:
    """Score, components, boxes, outlines, worst tile, maps and pictures are those of the region alone, to the bit.

    What is outside changes nothing, and looks normal; by any other threshold the defects are the same, too.
    """
    noise = np.random.default_rng(seed)
    frame = np.clip(noise.normal(128, 6, (height, width, *channels)), 0, 255).astype(np.uint8)
    x, y, w, h = REGION.box(frame.shape)
    outside = np.ones(frame.shape[:2], bool)
    outside[y : y + h, x : x + w] = False
    frame[outside] = 255
    for _ in range(spots):
        down, across = y + int(noise.integers(h - 10)), x + int(noise.integers(w - 10))
        frame[down : down + 9, across : across + 7] = 220
    within, alone = (_inspector(calibrated[scaled], scaled, region) for region in (REGION, None))
    found, expected = within.inspect(frame), alone.inspect(frame[y : y + h, x : x + w])
    assert found.region == (x, y, w, h) and expected.region is None
    assert (found.score, found.components, found.values) == (expected.score, expected.components, expected.values)
    assert found.tiles == expected.tiles
    assert found.defects == tuple(defect.moved(x, y) for defect in expected.defects)
    assert bool(found.defects) == found.is_abnormal
    low = found.score - 1
    moved = tuple(defect.moved(x, y) for defect in expected.at_threshold(low, 1.0).defects)
    assert found.at_threshold(low, 1.0).defects == moved and moved
    assert found.worst_tile is not None and expected.worst_tile is not None
    assert np.subtract(found.worst_tile, expected.worst_tile).tolist() == [x, y, 0, 0]
    for name in ("anomaly_map", "reconstruction", "prepared"):
        whole, part = getattr(found, name), getattr(expected, name)
        assert whole.shape[:2] == frame.shape[:2] and (whole[y : y + h, x : x + w] == part).all()
    assert not found.anomaly_map[outside].any() and (found.prepared[outside] == 255).all()
    assert (found.reconstruction[outside] == 255).all()


def test_two_frames_in_work_keep_their_places(calibrated: dict[int | None, Calibrated]) -> None:
    """Frames of two sizes that are searched together come back each in its own pixels."""
    inspector = _inspector(calibrated[None], None, REGION)
    first, second = frames(1, (100, 100))[0], frames(1, (160, 140))[0]
    finish = [inspector.begin(frame) for frame in (first, second)]
    results = [end() for end in finish]
    assert [result.region for result in results] == [REGION.box(first.shape), REGION.box(second.shape)]
    assert [result.anomaly_map.shape for result in results] == [first.shape, second.shape]


def test_a_defect_outside_is_none(calibrated: dict[int | None, Calibrated]) -> None:
    """A frame whose rim is bright is as normal as without; without the region it is abnormal."""
    frame = frames(1, (100, 100))[0]
    frame[:20, 5:30] = 250
    assert not _inspector(calibrated[None], None, REGION).inspect(frame).is_abnormal
    assert _inspector(calibrated[None], None, None).inspect(frame).is_abnormal


@pytest.mark.parametrize(
    "height, shape, sentence",
    [
        (None, (10, 100), "region of interest of a frame of 100 x 10 px has 50 x 4 px, too few to inspect"),
        (None, (100, 40), "has 20 x 50 px, less than a tile of 32 px; give frames of the size that"),
        (40, (200, 40), "has 20 x 100 px, which the model sees as 8 x 40 px, less than a tile of 32 px"),
        (None, (100, 100, 2), "a frame has 2 channels"),
    ],
)
def test_a_frame_with_too_little_region_is_refused(
    calibrated: dict[int | None, Calibrated], height: int | None, shape: tuple[int, ...], sentence: str
) -> None:
    """With the sizes in one sentence; what is no picture at all is refused as without a region."""
    inspector = _inspector(calibrated[None], height, REGION)
    with pytest.raises(ImageError, match=sentence):
        inspector.inspect(np.zeros(shape, np.uint8))
    with pytest.raises(ImageError, match="must be a picture of uint8 or uint16"):
        inspector.inspect(np.zeros(7, np.uint8))


def test_the_picture_of_a_result_shows_the_region(calibrated: dict[int | None, Calibrated]) -> None:
    """A white box in the frame; nothing else of the picture is another than without it."""
    frame = frames(1, (140, 140))[0]
    result = _inspector(calibrated[None], None, REGION).inspect(frame)
    with_box, without = (draw_panel(frame, shown) for shown in (result, replace(result, region=None)))
    assert (with_box != without).any() and (with_box[:, 300:] == without[:, 300:]).all()
