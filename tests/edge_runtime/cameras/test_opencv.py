from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_runtime.cameras.opencv import OpenCVCamera, load_cv2
from latentline.errors import CameraError


def test_video_file_gives_every_frame_and_ends(tmp_path: Path) -> None:
    """All frames of a video file come in order as uint8 BGR, then the input ends."""
    path = tmp_path / "film.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    for level in (40, 80, 120):
        writer.write(np.full((48, 64, 3), level, np.uint8))
    writer.release()
    camera = OpenCVCamera("top", str(path))
    camera.open()
    levels = []
    while (frame := camera.read()) is not None:
        assert frame.image.shape == (48, 64, 3) and frame.captured_at.tzinfo is not None
        levels.append(round(float(frame.image.mean()), -1))
    camera.close()
    assert levels == [40, 80, 120]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (97, "device 97 does not open"),
        ("/nowhere/film.avi", "there is no video file"),
        ("rtsp://me:secret@127.0.0.1:9/1", r"rtsp://\*\*\*@127.0.0.1:9/1 does not open"),
    ],
)
def test_camera_that_does_not_open(source: int | str, said: str, capfd: pytest.CaptureFixture[str]) -> None:
    """A source that is not there is one sentence, and credentials appear neither in it nor in what OpenCV prints."""
    with pytest.raises(CameraError, match=said) as caught:
        OpenCVCamera("top", source, timeout_seconds=1.0).open()
    assert "secret" not in str(caught.value) + "".join(capfd.readouterr())


def test_file_that_is_no_video(tmp_path: Path) -> None:
    """A file that OpenCV cannot decode does not open."""
    (tmp_path / "film.mp4").write_text("text")
    with pytest.raises(CameraError, match="does not open"):
        OpenCVCamera("top", str(tmp_path / "film.mp4")).open()


def test_missing_opencv_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without OpenCV the error says where to get it."""
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(CameraError, match=r"latentline\[opencv\]"):
        load_cv2()
