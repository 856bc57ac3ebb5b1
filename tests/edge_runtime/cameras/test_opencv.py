from __future__ import annotations

import sys
from typing import Any

import pytest

from edge_runtime.cameras.device import DeviceCamera
from edge_runtime.cameras.opencv import load_cv2
from edge_runtime.cameras.settings.opencv import DeviceSettings, StreamSettings
from edge_runtime.cameras.stream import StreamCamera
from latentline.errors import CameraError


def _stream(source: object, **options: Any) -> StreamSettings:
    return StreamSettings(kind="stream", id="top", source=str(source), **options)


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("rtsp://me:secret@127.0.0.1:9/1", r"rtsp://\*\*\*@127.0.0.1:9/1 does not open"),
        ("http://me:secret@127.0.0.1:9/1.mjpg", r"http://\*\*\*@127.0.0.1:9/1.mjpg does not open"),
    ],
)
def test_stream_that_does_not_open(source: str, sentence: str, capfd: pytest.CaptureFixture[str]) -> None:
    """An absent source gives one sentence; credentials are neither in it nor in what OpenCV prints."""
    with pytest.raises(CameraError, match=sentence) as caught:
        StreamCamera(_stream(source, open_seconds=1.0)).open()
    assert "secret" not in str(caught.value) + "".join(capfd.readouterr())


@pytest.mark.parametrize(("source", "shown"), [(97, "device 97"), ("/dev/nothing", "/dev/nothing")])
def test_device_that_is_not_there(source: int | str, shown: str) -> None:
    """A device that is not plugged in gives one sentence."""
    settings = DeviceSettings(kind="device", source=source, width=640, height=480, fps=5, fourcc="MJPG")
    with pytest.raises(CameraError, match=f"{shown} does not open; is it plugged in"):
        DeviceCamera(settings).open()


def test_missing_opencv_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without OpenCV the error says where to get it."""
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(CameraError, match="install the extra `opencv`"):
        load_cv2()
