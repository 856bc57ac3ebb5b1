from __future__ import annotations

from collections.abc import Callable, Iterator

import cv2
import numpy as np
import pytest

from edge_runtime.cameras.feeds import Feeds
from edge_runtime.cameras.settings.opencv import StreamSettings
from edge_runtime.cameras.stream import StreamCamera
from latentline.errors import CameraError
from tests.edge_runtime.cameras.http_camera import HttpCamera
from tests.edge_runtime.cameras.scripted import take
from tests.waiting import wait_until


@pytest.fixture
def camera() -> Iterator[HttpCamera]:
    one = HttpCamera()
    yield one
    one.close()


def _jpeg(level: int, height: int = 48, width: int = 64) -> bytes:
    noise = np.random.default_rng(0).integers(0, 40, (height, width), np.uint8)
    return cv2.imencode(".jpg", noise + np.uint8(level))[1].tobytes()


BROKEN: dict[str, Callable[[], bytes]] = {
    "cut short": lambda: _jpeg(60)[: len(_jpeg(60)) // 3],
    "noise": lambda: np.random.default_rng(1).bytes(800),
    "text": lambda: b"<html>503 the sensor is busy</html>",
    "zeros": lambda: bytes(900),
}


def test_bad_picture_does_not_fail_a_live_stream(camera: HttpCamera) -> None:
    """Between good pictures, one that is cut short, noise or text is counted; the camera stays `ok`, its connection
    too, and no broken picture reaches the inspector."""
    faults: list[tuple[str, str | None]] = []
    settings = StreamSettings(kind="stream", id="top", source=camera.url, every_frame=True, stall_seconds=60)
    feeds = Feeds([settings], lambda *fault: faults.append(fault))
    camera.put(*[_jpeg(10)] * 3)
    feeds.start()
    levels = [float(take(feeds).image.mean()) for _ in range(2)]
    for step, broken in enumerate(BROKEN.values(), start=1):
        camera.put(broken(), *[_jpeg(10 + 20 * step)] * 2)
        # The demuxer of FFmpeg knows the end of a part only by the next one.
        levels += [float(take(feeds).image.mean()) for _ in range(2)]
    wait_until(lambda: feeds.states()["top"].bad >= len(BROKEN), "the count of the broken pictures")
    report = feeds.states()["top"]
    assert (report.state, report.reopened, faults, camera.connections) == ("ok", 0, [], 1)
    assert levels == sorted(levels) and set(report.bad_causes) == {"unreadable"}
    camera.hang_up()
    wait_until(lambda: feeds.states()["top"].state == "failing", "the fault of the stream that ended")
    camera.put(*[_jpeg(100)] * 2)
    wait_until(lambda: feeds.states()["top"].state == "ok", "the stream that is there again")
    camera.hang_up()  # else the reader waits for the next picture
    feeds.close()


def test_camera_that_never_writes_the_end_of_a_picture_is_read(camera: HttpCamera) -> None:
    """Where not one picture has its end, and some have line ends before them, they are pictures all the same."""
    settings = StreamSettings(kind="stream", id="top", source=camera.url, every_frame=True, stall_seconds=60)
    feeds = Feeds([settings], lambda _code, _sentence: None)
    camera.put(*[b"\r\n" + _jpeg(10)[:-2]] * 6)
    feeds.start()
    assert take(feeds).image.shape == take(feeds).image.shape == (48, 64, 3)
    camera.hang_up()
    feeds.close()
    assert feeds.states()["top"].bad == 2


def test_the_address_of_a_single_picture_is_no_stream() -> None:
    """The picture is given, and its end says that a stream was wanted."""
    one = HttpCamera(snapshot=True)
    one.put(*[_jpeg(10)] * 8)  # OpenCV and its demuxers may ask more than once
    camera = StreamCamera(StreamSettings(kind="stream", id="top", source=one.url))
    camera.open()
    assert camera.read() is not None
    with pytest.raises(CameraError, match=r"gave one picture and ended; .* give that of the camera's stream"):
        camera.read()
    camera.close()
    one.close()


def test_motion_jpeg_that_changes_its_size_keeps_it(camera: HttpCamera) -> None:
    """A camera whose resolution is changed in mid-stream gives frames of the new size, not scaled to the old one."""
    settings = StreamSettings(kind="stream", id="top", source=camera.url, every_frame=True, stall_seconds=60)
    feeds = Feeds([settings], lambda _code, _sentence: None)
    camera.put(*[_jpeg(10)] * 2, *[_jpeg(10, 96, 128)] * 3)
    feeds.start()
    assert [take(feeds).image.shape for _ in range(4)] == [(48, 64, 3)] * 2 + [(96, 128, 3)] * 2
    camera.hang_up()
    feeds.close()
