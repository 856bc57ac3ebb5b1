from __future__ import annotations

from datetime import datetime, timezone

import cv2
import numpy as np
import numpy.typing as npt
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.cameras.base import Frame
from edge_runtime.mqtt.events import Message, Messages
from edge_runtime.mqtt.pictures import DefectPicture, defect_pictures
from edge_runtime.mqtt.settings import PictureSection
from latentline.inspection.result import InspectionResult
from latentline.scoring.defects import Defect
from tests.edge_runtime.fakes import FakeInspector

UInt8 = npt.NDArray[np.uint8]


def _event(image: UInt8, *boxes: tuple[int, int, int, int]) -> tuple[Frame, InspectionResult, Message]:
    """A frame with defects at `boxes`, each weaker than the one before, and its event."""
    defects = tuple(Defect(box, 1, 9.0 - n, 4.0, (), "map") for n, box in enumerate(boxes))
    inspection = InspectionResult(5.0, 2.0, {}, defects, np.zeros(image.shape[:2], np.float32), image, image, 1, {})
    frame = Frame(image, datetime.now(timezone.utc), "top", "a.png", 0)
    return frame, inspection, Messages("line-1").defect(frame, inspection, FakeInspector.identity, 1.0)


def _noise(height: int, width: int, channels: int = 1, seed: int = 0) -> UInt8:
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)


def _decoded(picture: DefectPicture) -> UInt8:
    found = cv2.imdecode(np.frombuffer(picture.payload, np.uint8), cv2.IMREAD_UNCHANGED)
    assert found is not None
    return np.asarray(found, np.uint8)


def test_picture_shows_the_defect_and_its_margin() -> None:
    """The crop is the box with half its longer side around it, cut at the frame's edge, and says so beside it."""
    image = np.full((200, 300, 3), 40, np.uint8)
    image[100:120, 10:50] = (0, 0, 220)
    frame, inspection, event = _event(image, (10, 100, 40, 20))
    (picture,) = defect_pictures(frame, inspection, event, PictureSection(margin=0.5))
    properties = dict(picture.properties)
    assert picture.topic == "cam/top/picture"
    assert properties == {
        "event_id": event["event_id"],
        "index": "0",
        "captured_at": event["captured_at"],
        "bbox": "10,100,40,20",
        "crop": "0,80,70,60",
    }
    shown = _decoded(picture)
    assert shown.shape == (60, 70, 3)
    assert np.abs(shown.astype(int) - image[80:140, 0:70]).mean() < 5


def test_only_the_strongest_get_a_picture() -> None:
    """With `per_frame: 2` the two strongest of three defects get pictures, with their index in the event."""
    boxes = [(0, 0, 5, 5), (20, 20, 5, 5), (40, 40, 5, 5)]
    pictures = defect_pictures(*_event(_noise(64, 64), *boxes), PictureSection(per_frame=2))
    assert [dict(picture.properties)["index"] for picture in pictures] == ["0", "1"]


def test_longest_side_is_kept() -> None:
    """The picture of a large defect is scaled down in proportion; its crop is in pixels of the frame."""
    (picture,) = defect_pictures(*_event(_noise(800, 1600), (0, 0, 1600, 800)), PictureSection(longest_side=200))
    assert _decoded(picture).shape == (100, 200)
    assert dict(picture.properties)["crop"] == "0,0,1600,800"


def test_quality_is_reduced_before_size() -> None:
    """A picture that is too large is reduced in quality and then in size, until it fits."""
    event = _event(_noise(400, 400, 3), (0, 0, 400, 400))
    sizes = {}
    for limit in (1_000_000, 100_000, 8_000):
        (picture,) = defect_pictures(*event, PictureSection(max_bytes=limit))
        assert len(picture.payload) <= limit
        sizes[limit] = _decoded(picture).shape[0]
    assert sizes[1_000_000] == sizes[100_000] == 400 > sizes[8_000] >= 16


def test_broker_with_a_small_packet_size() -> None:
    """Pictures fit the packet size of the broker, with room for topic and properties; if none fits, none is made."""
    event = _event(_noise(400, 400, 3), (0, 0, 400, 400))
    (picture,) = defect_pictures(*event, PictureSection(), packet_bytes=6000)
    assert len(picture.payload) <= 6000 - 1024
    assert defect_pictures(*event, PictureSection(), packet_bytes=1000) == []


@given(
    height=st.integers(1, 60),
    width=st.integers(1, 60),
    channels=st.sampled_from([1, 3]),
    corner=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    size=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    margin=st.floats(0, 10),
    max_bytes=st.integers(1000, 3000),
)
@settings(max_examples=80)
def test_any_defect_of_any_frame(
    height: int,
    width: int,
    channels: int,
    corner: tuple[float, float],
    size: tuple[float, float],
    margin: float,
    max_bytes: int,
) -> None:
    """Any defect in any frame gives a JPEG within the limit, whose crop contains the defect and lies in the frame."""
    x, y = int(corner[0] * (width - 1)), int(corner[1] * (height - 1))
    w, h = 1 + int(size[0] * (width - x - 1)), 1 + int(size[1] * (height - y - 1))
    event = _event(_noise(height, width, channels), (x, y, w, h))
    pictures = defect_pictures(*event, PictureSection(margin=margin, max_bytes=max_bytes))
    for picture in pictures:
        left, top, across, down = map(int, dict(picture.properties)["crop"].split(","))
        assert 0 <= left <= x and 0 <= top <= y
        assert x + w <= left + across <= width and y + h <= top + down <= height
        assert len(picture.payload) <= max_bytes and _decoded(picture).size
    assert len(pictures) == 1
